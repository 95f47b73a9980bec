//! A web service on metaparticle: visits, a guestbook and accounts, on one store or by several instances that share one.
//!
//! `cargo run -p metaparticle-web -- --store web.db`, and then open the address that it prints. See README.md.

mod failure;
mod input;
mod live;
mod model;
mod routes;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use metaparticle::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long requests that are being answered when the service is to stop may take: longer than a transaction may.
const PATIENCE: Duration = Duration::from_secs(12);

/// Counts visits, keeps a guestbook, and moves money between accounts.
#[derive(Debug, Parser)]
#[command(name = "web", version, about, max_term_width = 120)]
struct Args {
    /// The store: a path, or a URL such as postgres://user:password@host/database.
    // A URL may hold a password.
    #[arg(long, env = "METAPARTICLE_STORE", hide_env_values = true, value_name = "URL")]
    store: String,
    /// Where to listen; port 0 is any that is free.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    match serve(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(args: &Args) -> Result<(), Box<dyn Error>> {
    // This waits on the thread, which has nothing else to do yet.
    let store = Store::open(&args.store)?;
    for warning in store.warnings() {
        eprintln!("{}: {warning}", store.url());
    }
    let listener = TcpListener::bind(args.listen).await.map_err(|error| format!("{}: {error}", args.listen))?;
    println!("listening on http://{}", listener.local_addr()?);

    let (stop, stopping) = watch::channel(false);
    let mut told = stopping.clone();
    let service = axum::serve(listener, routes::routes(store.clone(), live::Live::new(store, stopping.clone())));
    let service = service.with_graceful_shutdown(async move { drop(told.wait_for(|stop| *stop).await) });
    let too_late = async {
        asked_to_stop().await?;
        stop.send_replace(true);
        tokio::time::sleep(PATIENCE).await;
        Err::<(), Box<dyn Error>>("requests were left unanswered".into())
    };
    tokio::select! {
        ended = service => Ok(ended?),
        late = too_late => late,
    }
}

/// Waits for SIGTERM or Ctrl-C.
async fn asked_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => pressed,
    }
}
