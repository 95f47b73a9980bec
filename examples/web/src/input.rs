//! What comes in: names, texts and bodies, checked before anything is done with them.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// A piece of text that is not empty, of `MOST` characters at most, none of them a control character.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Text<const MOST: usize>(String);

/// A user's name.
pub(crate) type Name = Text<64>;

impl<const MOST: usize> Text<MOST> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MOST: usize> TryFrom<String> for Text<MOST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let sound = !text.trim().is_empty() && text.chars().count() <= MOST && !text.contains(char::is_control);
        if sound { Ok(Self(text)) } else { Err(format!("expected 1 to {MOST} characters, in one line")) }
    }
}

/// The user that a path names.
#[derive(Debug)]
pub(crate) struct User(pub(crate) Name);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|rejection| Failure::BadInput(rejection.body_text()))?;
        Name::try_from(name).map(Self).map_err(|why| Failure::BadInput(format!("the user's name: {why}")))
    }
}

/// A body of JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = Json::<T>::from_request(request, state).await;
        body.map(|Json(body)| Self(body)).map_err(|rejection| Failure::BadInput(rejection.body_text()))
    }
}
