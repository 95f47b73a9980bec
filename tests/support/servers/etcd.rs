//! How etcd is started: as the members of a cluster, of which there may be one.

use super::{Server, free_port};

/// Has them know each other.
pub(super) fn together(servers: &mut [Server], arguments: &[&str]) {
    let clients = if arguments.iter().any(|argument| argument.starts_with("--cert-file")) { "https" } else { "http" };
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let peers: Vec<String> = servers.iter().map(|_| url(free_port())).collect();
    let cluster: Vec<String> = peers.iter().enumerate().map(|(n, peer)| format!("member{n}={peer}")).collect();
    for (n, server) in servers.iter_mut().enumerate() {
        let (clients, data) = (format!("{clients}://127.0.0.1:{}", server.port), server.folder.join("data"));
        let settings = [
            ("name", format!("member{n}")),
            ("data-dir", data.to_str().expect("a plain path").to_owned()),
            ("listen-client-urls", clients.clone()),
            ("advertise-client-urls", clients),
            ("listen-peer-urls", peers[n].clone()),
            ("initial-advertise-peer-urls", peers[n].clone()),
            ("initial-cluster", cluster.join(",")),
        ];
        server.etcd = settings.into_iter().map(|(name, value)| format!("--{name}={value}")).collect();
        server.etcd.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    }
}
