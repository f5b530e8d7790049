//! Verbs on images and volumes.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(in crate::cli) struct ImageArgs {
    #[command(subcommand)]
    pub verb: ImageVerb,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImageVerb {
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
    /// Remove images
    Rm {
        /// Their names
        #[arg(required = true)]
        images: Vec<String>,
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
