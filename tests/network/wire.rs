//! What the tests say to pods, and how they look at the machine.

use crate::support::{Host, Pod, Ran, until};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

/// How long an answer may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pod's addresses, as `status.podIPs` tells them.
pub fn ips(pod: &Value) -> Vec<IpAddr> {
    let ips = pod["status"]["podIPs"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ip = |entry: &Value| entry["ip"].as_str().and_then(|ip| ip.parse().ok());
    ips.iter().filter_map(ip).collect()
}

/// A script that serves `page` at port 80 and tells on standard error who asked.
pub fn serve(page: &str) -> String {
    format!("mkdir /www; echo {page} >/www/index.html; exec httpd -f -v -h /www -p 80")
}

/// What a web server answers to this machine.
pub fn fetch(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text
        .rsplit("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// The same, again and again until it is this.
#[track_caller]
pub fn until_served(address: SocketAddr, page: &str) {
    until(10, &format!("{address} serves {page}"), || {
        match fetch(address) {
            Ok(text) if text.trim() == page => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// What a web server answers to a container.
#[track_caller]
pub fn fetch_from(pod: &Pod<'_>, container: &str, address: SocketAddr) -> String {
    let script = format!("wget -q -O - http://{address}/");
    until(10, &script, || {
        let ran: Ran = pod.exec(container, &script);
        if ran.code == Some(0) {
            Ok(ran.stdout.trim().to_owned())
        } else {
            Err(ran.stderr)
        }
    })
}

/// What comes back for a datagram.
pub fn echo(address: SocketAddr, text: &str) -> std::io::Result<String> {
    let from: SocketAddr = match address {
        SocketAddr::V4(_) => "0.0.0.0:0".parse().expect("any"),
        SocketAddr::V6(_) => "[::]:0".parse().expect("any"),
    };
    let socket = UdpSocket::bind(from)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.send_to(text.as_bytes(), address)?;
    let mut buffer = [0; 64];
    let (n, _) = socket.recv_from(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..n]).into_owned())
}

/// A port that nothing uses now.
pub fn free_port() -> u16 {
    let any = std::net::TcpListener::bind("0.0.0.0:0").expect("a free port");
    any.local_addr().expect("bound").port()
}

/// An address of this machine that is not loopback: where its packets to others come from.
pub fn host_ip() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("any");
    // Nothing is sent: only the route is looked up.
    socket.connect("203.0.113.1:9").expect("a default route");
    socket.local_addr().expect("connected").ip()
}

/// A command of this machine, which must succeed.
#[track_caller]
pub fn command(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    crate::support::run(Command::new(words[0]).args(&words[1..])).text()
}

/// The bridge of this host, by the name that its links carry.
pub fn bridge(host: &Host) -> Option<String> {
    let state = std::fs::canonicalize(host.path("state")).ok()?;
    let wanted = format!("podshim {}", state.display());
    let links = std::fs::read_dir("/sys/class/net")
        .expect("links")
        .flatten();
    let names = links.filter(|link| {
        let alias = std::fs::read_to_string(link.path().join("ifalias"));
        alias.is_ok_and(|alias| alias.trim() == wanted)
    });
    names
        .map(|link| link.file_name().to_string_lossy().into_owned())
        .next()
}
