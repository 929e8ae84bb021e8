//! Clusters, task definitions, container instances, tasks and agent sessions.
