//! Generated requests, responses and errors of AWS STS.
