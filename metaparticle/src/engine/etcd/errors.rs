//! From the driver's errors to ours: what a request has done that ended with one, and whether another try may help.

use std::error::Error as _;

use etcd_client::Error as Driver;
use tonic::{Code, Status};

use crate::engine::remote::{Failure, again};
use crate::error::{Error, ErrorKind};

/// A request that brought no answer, or one that is an error.
pub(super) struct Trouble {
    pub(super) cause: Cause,
    error: Driver,
}

/// What is known about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// The network or a member failed, so it may have been carried out.
    Lost,
    /// It was not carried out, and may be soon.
    Later,
    /// It was not carried out, because the user's token has expired.
    Token,
    /// It was not carried out, because its lease is gone.
    NoLease,
    /// The quota for the data is used up. The request that finds this *is* carried out; those after it are not.
    Full,
    /// It was not carried out, because it is too large.
    TooLarge,
    /// It was not carried out, because the user may not.
    NotAllowed,
    /// It was not carried out.
    Refused,
    /// The server says that its data are damaged, or its answer cannot be read.
    Damaged,
}

impl Cause {
    /// Whether the request was surely not carried out.
    pub(super) fn did_nothing(self) -> bool {
        !matches!(self, Self::Lost | Self::Full | Self::Damaged)
    }

    /// Whether the connection is of no more use.
    pub(super) fn breaks(self) -> bool {
        matches!(self, Self::Lost | Self::Token)
    }

    fn of(error: &Driver) -> Self {
        match error {
            // A status with a source was made of an error on this side.
            Driver::GRpcStatus(status) if status.source().is_none() => Self::of_status(status),
            _ => Self::Lost,
        }
    }

    /// etcd's errors are told apart by their texts: its codes are shared by several.
    fn of_status(status: &Status) -> Self {
        match (status.code(), status.message()) {
            // With these a member also answers what it has passed on: "request timed out", "leader changed" …
            (
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Internal | Code::Aborted,
                _,
            ) => Self::Lost,
            (Code::ResourceExhausted, "etcdserver: too many requests") => Self::Later,
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded") => Self::Full,
            (Code::InvalidArgument, "etcdserver: request is too large" | "etcdserver: too many operations in txn request")
            | (Code::ResourceExhausted, _) => Self::TooLarge,
            (Code::Unauthenticated, _) | (Code::InvalidArgument, "etcdserver: revision of auth store is old") => Self::Token,
            (Code::NotFound, "etcdserver: requested lease not found") => Self::NoLease,
            (Code::PermissionDenied, _)
            | (Code::FailedPrecondition, "etcdserver: authentication is not enabled")
            | (
                Code::InvalidArgument,
                "etcdserver: user name is empty" | "etcdserver: authentication failed, invalid user ID or password",
            ) => Self::NotAllowed,
            // The snapshot that was read from has been compacted away; or an answer too long to be taken.
            (Code::OutOfRange, text) if text.starts_with("etcdserver:") => Self::Later,
            (Code::DataLoss | Code::OutOfRange, _) => Self::Damaged,
            _ => Self::Refused,
        }
    }
}

impl From<Driver> for Trouble {
    fn from(error: Driver) -> Self {
        Self { cause: Cause::of(&error), error }
    }
}

impl From<Trouble> for Failure {
    fn from(Trouble { cause, error }: Trouble) -> Self {
        let said = match &error {
            Driver::GRpcStatus(status) => status.message().trim_start_matches("etcdserver: ").to_owned(),
            other => other.to_string(),
        };
        let last = |kind, message: String, error| Self::Final(Error::with_source(kind, message, error));
        match cause {
            Cause::Lost => again("the server cannot be reached", source_of(error)),
            Cause::Later => again("the server is not ready", error),
            Cause::Token => again("the server asks for the password again", error),
            Cause::NoLease => again("the lease of the commit ids has expired", error),
            Cause::Full => last(
                ErrorKind::Engine,
                "the server's space is used up (alarm NOSPACE): compact and defragment it, or raise `--quota-backend-bytes`, \
                 then `etcdctl alarm disarm`"
                    .to_owned(),
                error,
            ),
            Cause::TooLarge => {
                let limits = "`--max-txn-ops` of at least 128 and `--max-request-bytes` of at least 1572864 are expected";
                last(ErrorKind::Limit, format!("the server refuses the request: {said}; {limits}"), error)
            }
            Cause::NotAllowed => last(ErrorKind::Setup, format!("the server refuses the user or the password: {said}"), error),
            Cause::Refused => last(ErrorKind::Engine, format!("the server refuses: {said}"), error),
            Cause::Damaged => last(ErrorKind::Corrupt, format!("the server has damaged data: {said}"), error),
        }
    }
}

/// The driver's error does not name its source.
fn source_of(error: Driver) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        Driver::GRpcStatus(status) => Box::new(status),
        Driver::TransportError(error) => Box::new(error),
        other => Box::new(other),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Driver};
    use tonic::{Code, Status};

    fn cause(code: Code, text: &str) -> Cause {
        Cause::of(&Driver::GRpcStatus(Status::new(code, text)))
    }

    #[test]
    fn what_may_have_been_carried_out_is_never_taken_for_undone() {
        let open = [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unknown, "context canceled"),
            (Code::Cancelled, ""),
            (Code::DeadlineExceeded, ""),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            (Code::OutOfRange, "an answer that is too long"),
        ];
        for (code, text) in open {
            assert!(!cause(code, text).did_nothing(), "{code:?} {text}");
        }
        // A code that was made on this side says nothing about the server.
        let mut made_here = Status::new(Code::InvalidArgument, "");
        made_here.set_source(std::sync::Arc::new(std::io::Error::other("broken")));
        assert!(!Cause::of(&Driver::GRpcStatus(made_here)).did_nothing());
        assert!(!Cause::of(&Driver::IoError(std::io::Error::other("broken"))).did_nothing());
    }

    #[test]
    fn what_was_refused_is_undone() {
        assert_eq!(cause(Code::InvalidArgument, "etcdserver: too many operations in txn request"), Cause::TooLarge);
        assert_eq!(cause(Code::ResourceExhausted, "grpc: received message larger than max"), Cause::TooLarge);
        assert_eq!(cause(Code::NotFound, "etcdserver: requested lease not found"), Cause::NoLease);
        assert_eq!(cause(Code::Unauthenticated, "etcdserver: invalid auth token"), Cause::Token);
        for (code, text) in
            [(Code::InvalidArgument, "etcdserver: duplicate key given in txn request"), (Code::PermissionDenied, "")]
        {
            assert!(cause(code, text).did_nothing(), "{code:?} {text}");
        }
    }
}
