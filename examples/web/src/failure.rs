//! What a request is answered that could not be carried out: the one place that knows statuses.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metaparticle::{Error, ErrorKind};
use serde_json::json;

use crate::model::Refused;

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request makes no sense, whatever is stored.
    BadInput(String),
    /// It does, but not for what is stored.
    Refused(Refused),
    /// There is no such thing.
    NotFound(String),
    /// The method is not one that this path has.
    Method,
    /// As many live streams are open as there may be.
    Busy,
    /// The store's error.
    Store(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => Self::Store(error),
            refused => Self::Refused(refused),
        }
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        let kind = match self {
            Self::BadInput(_) => return StatusCode::BAD_REQUEST,
            Self::Refused(_) => return StatusCode::CONFLICT,
            Self::NotFound(_) => return StatusCode::NOT_FOUND,
            Self::Method => return StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy => return StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(error) => error.kind(),
        };
        match kind {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Limit | ErrorKind::Encoding => StatusCode::BAD_REQUEST,
            ErrorKind::Conflict | ErrorKind::Timeout | ErrorKind::Indeterminate => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// One sentence for whoever asked. What only concerns whoever runs the service is not told.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::BadInput(sentence) | Self::NotFound(sentence) => sentence.clone(),
            Self::Refused(refused) => refused.to_string(),
            Self::Method => "this cannot be done here".to_owned(),
            Self::Busy => "too many are watching; try again later".to_owned(),
            Self::Store(error) if error.is_indeterminate() => {
                "it is not known whether this was done; look before you try again".to_owned()
            }
            Self::Store(error) if error.is_retryable() => "the store is busy, nothing was done; try again".to_owned(),
            Self::Store(error) => match self.status() {
                StatusCode::INTERNAL_SERVER_ERROR => "the store failed".to_owned(),
                _ => error.to_string(),
            },
        }
    }

    /// Tells whoever runs the service.
    pub(crate) fn log(&self) {
        if let Self::Store(error) = self
            && self.status().is_server_error()
        {
            eprintln!("{error:?}");
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.log();
        let (status, body) = (self.status(), Json(json!({ "error": self.sentence() })));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => (status, [(header::RETRY_AFTER, "1")], body).into_response(),
            _ => (status, body).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_status_and_only_what_concerns_the_user_is_told() {
        for (kind, status, says) in [
            (ErrorKind::NotFound, 404, "the cause"),
            (ErrorKind::Limit, 400, "the cause"),
            (ErrorKind::Encoding, 400, "the cause"),
            (ErrorKind::Conflict, 503, "nothing was done"),
            (ErrorKind::Timeout, 503, "nothing was done"),
            (ErrorKind::Indeterminate, 503, "not known"),
            (ErrorKind::Engine, 500, "the store failed"),
            (ErrorKind::Corrupt, 500, "the store failed"),
            (ErrorKind::Incompatible, 500, "the store failed"),
            (ErrorKind::Borrowed, 500, "the store failed"),
        ] {
            let failure = Failure::Store(Error::engine(kind, "the cause"));
            assert!(failure.sentence().contains(says), "{kind:?}: {}", failure.sentence());
            let response = failure.into_response();
            assert_eq!(response.status(), status, "{kind:?}");
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), status == 503, "{kind:?}");
        }
    }
}
