//! Why a stream or a connection ends (RFC 9113, 7).

/// A code of RST_STREAM or GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Code {
    /// Nothing is wrong.
    NoError = 0,
    /// The other side does what it must not.
    ProtocolError = 1,
    /// This side cannot go on.
    InternalError = 2,
    /// More came than there was room for.
    FlowControlError = 3,
    /// Settings were not answered.
    SettingsTimeout = 4,
    /// A frame for a stream that has ended.
    StreamClosed = 5,
    /// A frame that is too long or too short.
    FrameSizeError = 6,
    /// The stream was not begun: it may be begun again.
    RefusedStream = 7,
    /// Nobody wants the stream any more.
    Cancel = 8,
    /// A list of headers that cannot be read.
    CompressionError = 9,
    /// A CONNECT's connection broke.
    ConnectError = 10,
    /// The other side does too much that leads to nothing.
    EnhanceYourCalm = 11,
    /// What is below does not suffice.
    InadequateSecurity = 12,
    /// HTTP/1.1 is needed.
    Http11Required = 13,
}

impl Code {
    /// Its number.
    pub fn number(self) -> u32 {
        self as u32
    }
}
