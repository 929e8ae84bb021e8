//! Generated requests, responses and errors of Amazon ECS.
