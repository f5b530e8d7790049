//! Words that every layer shares: ids, time, exits, signals, quantities. No I/O, no clock, no random.

mod bytes;
mod exit;
mod ids;
mod json;
mod quantity;
mod signal;
mod time;

pub use bytes::Bytes;
pub use exit::Exit;
pub use ids::{InstanceId, PodUid};
pub use json::{to_json, to_json_pretty};
pub use quantity::{Quantity, QuantityError};
pub use signal::{Signal, UnknownSignal};
pub use time::{Mono, Now, Wall, duration};
