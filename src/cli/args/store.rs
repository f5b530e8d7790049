//! Verbs on images and volumes.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(in crate::cli) struct ImageArgs {
    #[command(subcommand)]
    pub verb: ImageVerb,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImageVerb {
    /// Pull images from their registries
    Pull {
        /// Their names
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Always asks the registry for the newest; IfNotPresent is content with what is here
        #[arg(long, default_value = "Always", value_name = "Always|IfNotPresent")]
        policy: String,
        /// Give up when nothing comes for so many seconds
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        patience: u64,
        /// Seconds before what failed is tried again; each further wait is twice as long
        #[arg(long, default_value_t = 0.5, value_name = "SECONDS")]
        retry_wait: f64,
        /// No progress
        #[arg(short, long)]
        quiet: bool,
    },
    /// Load an image from a layout or archive
    Load {
        /// oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], or a file
        source: String,
        /// Name to give it [default: the one it has]
        name: Option<String>,
    },
    /// List images
    Ls {
        /// table or json
        #[arg(short, long, default_value = "table")]
        output: String,
    },
    /// Remove images that no pod uses
    Rm {
        /// Their names
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// What an image is, as JSON
    Inspect {
        /// Their names
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Write images to a layout or archive
    Save {
        /// oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF]
        target: String,
        /// Their names
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Remove what no image needs
    Prune {
        /// Also images that no pod uses
        #[arg(short, long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VolumeArgs {
    #[command(subcommand)]
    pub verb: VolumeVerb,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum VolumeVerb {
    /// List volumes and the pods that use them
    Ls {
        /// table or json
        #[arg(short, long, default_value = "table")]
        output: String,
        /// All namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
    /// Show volumes as JSON
    Inspect {
        /// [namespace/]name
        #[arg(required = true, value_name = "VOLUME")]
        volumes: Vec<String>,
    },
    /// Remove volumes that no pod uses, with their data
    Rm {
        /// [namespace/]name
        #[arg(required = true, value_name = "VOLUME")]
        volumes: Vec<String>,
    },
    /// Remove all volumes that no pod uses, with their data
    Prune {
        /// All namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
}
