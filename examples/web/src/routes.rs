//! What can be asked for over HTTP.

use std::num::NonZeroU64;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use metaparticle::Store;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::{Body, Name, Text, User};
use crate::live::{self, Live};
use crate::model;

/// The largest body that is read.
const BODY_BYTES: usize = 16 << 10;

/// What a request is answered.
type Answer = Result<Json<Value>, Failure>;

/// The service on this store.
pub(crate) fn routes(store: Store, live: Live) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/visits/{user}", get(visits).post(visit))
        .route("/accounts/{user}", get(balance).post(open_account))
        .route("/entries", post(sign))
        .route("/transfers", post(transfer))
        .route("/live", get(live::stream))
        .fallback(|uri: Uri| async move { Failure::NotFound(format!("there is nothing at {}", uri.path())) })
        .method_not_allowed_fallback(|| async { Failure::Method })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(store, on_store))
        .with_state(live)
}

/// Gives each request the store, so that the functions of the model need not be handed it.
async fn on_store(State(store): State<Store>, request: Request, next: Next) -> Response {
    store.scope(next.run(request)).await
}

async fn page() -> impl IntoResponse {
    // A newer version of the program may bring a newer page.
    ([(header::CACHE_CONTROL, "no-cache")], Html(include_str!("page.html")))
}

async fn visit(User(user): User) -> Answer {
    Ok(Json(json!({ "count": model::visit(user.as_str()).await? })))
}

async fn visits(User(user): User) -> Answer {
    Ok(Json(json!({ "count": model::visits(user.as_str()).await? })))
}

async fn open_account(User(user): User) -> Answer {
    Ok(Json(json!({ "balance": model::open_account(user.as_str()).await? })))
}

async fn balance(User(user): User) -> Answer {
    Ok(Json(json!({ "balance": model::balance(user.as_str()).await? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEntry {
    guest: Name,
    text: Text<1_000>,
}

async fn sign(Body(NewEntry { guest, text }): Body<NewEntry>) -> Result<(StatusCode, Json<Value>), Failure> {
    let number = model::sign(guest.as_str(), text.as_str()).await?;
    Ok((StatusCode::CREATED, Json(json!({ "number": number }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    from: Name,
    to: Name,
    amount: NonZeroU64,
}

async fn transfer(Body(Transfer { from, to, amount }): Body<Transfer>) -> Answer {
    if from == to {
        return Err(Failure::BadInput("`from` and `to` are the same account".to_owned()));
    }
    let (from, to) = model::transfer(from.as_str(), to.as_str(), amount.get()).await?;
    Ok(Json(json!({ "from": from, "to": to })))
}
