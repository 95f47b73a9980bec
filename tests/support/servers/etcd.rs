//! How etcd is started: alone, or as the members of a cluster.

use super::{Server, free_port};

/// One member that is all of its cluster.
pub(super) fn alone(server: &mut Server) {
    together(std::slice::from_mut(server));
}

/// Members that know each other.
pub(super) fn together(servers: &mut [Server]) {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let peers: Vec<String> = servers.iter().map(|_| url(free_port())).collect();
    let cluster: Vec<String> = peers.iter().enumerate().map(|(n, peer)| format!("member{n}={peer}")).collect();
    for (n, server) in servers.iter_mut().enumerate() {
        let (clients, data) = (url(server.port), server.folder.join("data"));
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
    }
}
