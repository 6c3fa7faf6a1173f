//! The real binary as a child process.

use super::client::Client;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

const BINARY: &str = env!("CARGO_BIN_EXE_lockstep");

/// Runs a command to its end.
pub fn lockstep<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Output {
    Command::new(BINARY).args(args).output().expect("the binary starts")
}

/// A process that serves from a data directory: a gateway, or a venue. Dropping it kills it.
pub struct Gateway {
    child: Child,
    address: String,
    token_file: PathBuf,
}

impl Gateway {
    /// Starts `serve` on a free port and waits until it says that it is ready.
    pub fn start(data_dir: &Path, args: &[&str]) -> Self {
        Self::start_command("serve", "127.0.0.1:0", data_dir, args)
    }

    /// Starts `venue` on this address and waits until it says that it is ready.
    pub fn start_venue(bind: &str, data_dir: &Path, args: &[&str]) -> Self {
        Self::start_command("venue", bind, data_dir, args)
    }

    fn start_command(command: &'static str, bind: &str, data_dir: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args([command, "--json", "--bind", bind, "--data-dir"])
            .arg(data_dir)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a readable pipe");
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let mut log = String::new();
            let _ = child.stderr.take().expect("piped").read_to_string(&mut log);
            panic!("{command} did not become ready: {line:?}\n{log}");
        };
        drain(command, child.stderr.take().expect("piped"));
        let url = ready["wsUrl"].as_str().or(ready["address"].as_str()).expect("ready names its address");
        let address = url.trim_start_matches("ws://").split('/').next().expect("a host");
        Self {
            address: address.to_owned(),
            token_file: PathBuf::from(ready["tokenFile"].as_str().expect("ready names tokenFile")),
            child,
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The operator's token, from the file that the gateway named.
    pub fn token(&self) -> String {
        std::fs::read_to_string(&self.token_file).expect("the token file").trim().to_owned()
    }

    /// A connected operator.
    pub async fn operator(&self) -> Client {
        Client::connect(&self.address, &self.token()).await.expect("the operator's token is good")
    }

    /// SIGKILL, and wait until the process is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("a running gateway");
        self.child.wait().expect("the gateway ends");
    }

    /// SIGTERM, and the exit status.
    pub async fn terminate(mut self) -> ExitStatus {
        self.send_sigterm();
        self.ended(Duration::from_secs(30)).await
    }

    /// SIGUSR2, and the exit status.
    pub async fn restart(mut self) -> ExitStatus {
        self.send("-USR2");
        self.ended(Duration::from_secs(30)).await
    }

    /// SIGTERM, without waiting.
    pub fn send_sigterm(&self) {
        self.send("-TERM");
    }

    fn send(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill(1)");
        assert!(sent.success(), "the gateway is not running any more");
    }

    async fn ended(&mut self, limit: Duration) -> ExitStatus {
        for _ in 0..limit.as_millis() / 20 {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the gateway still runs {limit:?} after SIGTERM");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the child's log away, so that it never blocks on a full pipe; shows it with the test's output.
fn drain(name: &'static str, stderr: impl Read + Send + 'static) {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("{name}: {line}");
        }
    });
}
