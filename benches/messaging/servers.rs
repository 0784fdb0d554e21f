//! Servers that other systems need beside the two processes.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine;
use crate::options::System;

/// A server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Server {
    /// Starts what `system` needs, if it needs any.
    pub(crate) fn start(system: System) -> Result<Option<Server>, String> {
        let port = machine::free_ports(1)?[0];
        let port_text = port.to_string();
        let mut command = match system {
            System::Lasso | System::Floor | System::FloorPlain => return Ok(None),
            System::Nats => {
                let mut command = Command::new("nats-server");
                command.args(["-a", "127.0.0.1", "-p", &port_text]);
                command
            }
            System::Redis => {
                let mut command = Command::new("redis-server");
                // Without the limit a subscriber that is slow for a moment would be cut off.
                command.args(["--bind", "127.0.0.1", "--port", &port_text, "--save", ""]);
                command.args(["--client-output-buffer-limit", "pubsub 0 0 0"]);
                command
            }
            System::Pg => {
                let mut command = Command::new("epmd");
                command.args(["-address", "127.0.0.1", "-port", &port_text]);
                command
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the server of {system} did not start: {error}"))?;
        let server = Server { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err(format!("the server of {system} does not listen"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(server))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
