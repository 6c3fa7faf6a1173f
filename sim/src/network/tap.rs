//! Writes into the trace which lines a process handed to a connection that it opened.

use crate::trace::{Kind, Node, Tracer};
use serde_json::{Value, json};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose written lines are recorded.
pub struct Tap<S> {
    stream: S,
    /// Tells the node's streams apart.
    number: u64,
    node: Node,
    tracer: Tracer,
    line: Vec<u8>,
    /// Where the trace stood when the line's first byte left.
    began: usize,
}

impl<S> Tap<S> {
    /// A tap on a new connection.
    pub const fn new(stream: S, number: u64, node: Node, tracer: Tracer) -> Self {
        Self { stream, number, node, tracer, line: Vec::new(), began: 0 }
    }

    fn written(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.line.is_empty() {
                self.began = self.tracer.position();
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (head, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
            self.line.extend_from_slice(head);
            bytes = rest;
            if end.is_some() {
                self.record();
            }
        }
    }

    fn record(&mut self) {
        let line = std::mem::take(&mut self.line);
        let mut frame: Value = serde_json::from_slice(&line).unwrap_or(Value::Null);
        if let Some(token) = frame.get_mut("token") {
            *token = json!("***");
        }
        let body = json!({ "stream": self.number, "began": self.began, "frame": frame });
        self.tracer.record(self.node, Kind::Sent, &body.to_string());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.written(&bytes[..count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
