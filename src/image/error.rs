//! What can go wrong between a reference and its layers.

use crate::image::{PullError, UnpackError};
use crate::pod::FailureReason;
use std::io;

/// Text from an image as messages show it: short, and without control characters.
pub(super) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(256)])
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// An image could not be brought, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The text is no reference.
    #[error("cannot read image reference `{reference}`: {problem}")]
    Reference {
        /// As written, cut to a readable length.
        reference: String,
        /// The rule it breaks.
        problem: &'static str,
    },
    /// Policy `Never` and the image is not in the store.
    #[error("cannot find image `{0}` on this machine, and its pull policy is Never")]
    Never(String),
    /// No registry gave it.
    #[error("cannot pull `{reference}`")]
    Pull {
        /// The image, or the part of it that did not come.
        reference: String,
        /// Why.
        #[source]
        source: Box<PullError>,
    },
    /// It is not in the store (asked by name on the command line).
    #[error("cannot find image `{0}` in the store")]
    Absent(String),
    /// A file of the source is missing or unreadable.
    #[error("cannot open `{file}` of image `{image}`")]
    Open {
        /// The source.
        image: String,
        /// The file in it.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A JSON document of the image does not have the shape it must have.
    #[error("cannot read `{file}`")]
    Document {
        /// The file in the image.
        file: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A document breaks a rule of the image specification or a limit of podshim.
    #[error("cannot accept `{file}`: {problem}")]
    Refused {
        /// The file in the image.
        file: String,
        /// The rule.
        problem: &'static str,
    },
    /// None, or more than one, of the images in a source is meant.
    #[error("cannot choose an image for {wanted}: the source has {found}")]
    Choose {
        /// What was asked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// Content is not what its name promises.
    #[error("cannot verify `{file}`: expected {expected}, found {found}")]
    Mismatch {
        /// The file in the image.
        file: String,
        /// What its descriptor says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A layer could not be turned into a directory.
    #[error("cannot unpack layer `{file}`")]
    Layer {
        /// The file in the image.
        file: String,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// The store could not be read or changed.
    #[error("cannot use the image store at `{path}`")]
    Store {
        /// The file or directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Images cannot be written there.
    #[error("cannot save to `{target}`: {problem}")]
    Save {
        /// As written.
        target: String,
        /// The rule.
        problem: &'static str,
    },
    /// A pod uses every layer of the image.
    #[error("cannot remove image `{0}`: a pod uses it")]
    InUse(String),
}

impl ImageError {
    /// What happened at a registry to an image, or to a part of one.
    pub(super) fn pull(reference: &dyn std::fmt::Display, source: PullError) -> ImageError {
        ImageError::Pull {
            reference: reference.to_string(),
            source: Box::new(source),
        }
    }

    /// What the user can do about it, if we know.
    pub fn hint(&self) -> Option<String> {
        match self {
            ImageError::Pull { source, .. } => source.hint(),
            ImageError::Never(_) | ImageError::Absent(_) => {
                Some("bring it with `podshim image pull` or `podshim image load`".to_owned())
            }
            ImageError::Store { source, .. }
            | ImageError::Layer {
                source: UnpackError::Create { source, .. },
                ..
            } if source.kind() == io::ErrorKind::StorageFull => {
                Some("make room, for example with `podshim image prune --all`".to_owned())
            }
            _ => None,
        }
    }

    /// The kubelet's word for it. Source: `pod-semantics` 4.1, image step.
    pub fn reason(&self) -> FailureReason {
        match self {
            ImageError::Reference { .. } => FailureReason::InvalidImageName,
            ImageError::Never(_) => FailureReason::ErrImageNeverPull,
            ImageError::Pull { .. }
            | ImageError::Absent(_)
            | ImageError::Open { .. }
            | ImageError::Document { .. }
            | ImageError::Refused { .. }
            | ImageError::Choose { .. }
            | ImageError::Mismatch { .. }
            | ImageError::Layer { .. }
            | ImageError::Store { .. }
            | ImageError::Save { .. }
            | ImageError::InUse(_) => FailureReason::ErrImagePull,
        }
    }
}
