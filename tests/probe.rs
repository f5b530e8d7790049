//! Network probes and hooks against real servers in a real network namespace of their own. Needs root.

mod support;

mod probe {
    mod grpc;
    mod hostile;
    mod http;
    mod namespace;
    mod tcp;
    mod tls;
    mod world;
}
