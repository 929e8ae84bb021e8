//! Images, snapshots, containers and networks of one host.
