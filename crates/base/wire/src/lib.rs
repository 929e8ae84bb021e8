//! AWS protocols, SigV4 and the HTTP edge.
