//! The error that makes SDKs back off, in each protocol's words.

use super::Throttled;
use crate::{Protocol, ServiceError};

/// The throttling error of a protocol.
///
/// All three codes are in the lists that SDKs take for throttling in their standard and adaptive
/// modes (botocore's `ThrottledRetryableChecker`, aws-runtime's `THROTTLING_ERRORS`); botocore's
/// legacy mode also looks at the status: 400 for the first two, 503 for EC2's.
pub(crate) fn throttled(protocol: Protocol, throttled: Throttled) -> ServiceError {
    let error = match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RpcV2Cbor => {
            return ServiceError::throttled(throttled.retry_after);
        }
        Protocol::AwsQuery => ServiceError::new("Throttling", 400, "Rate exceeded"),
        Protocol::Ec2Query => {
            ServiceError::new("RequestLimitExceeded", 503, "Request limit exceeded.")
        }
    };
    error.retry_after(throttled.retry_after)
}
