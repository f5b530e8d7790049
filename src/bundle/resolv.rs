//! The pod's `/etc/resolv.conf`. Source: kubelet `network/dns`.

use crate::bundle::HostFacts;
use crate::manifest::{DnsPolicy, Pod};

/// Most name servers that resolvers use. Source: glibc `MAXNS`.
const MAX_NAMESERVERS: usize = 3;
/// Longest search domain in bytes. Source: RFC 1123.
const MAX_SEARCH: usize = 253;
/// Most search domains. Source: Kubernetes `MaxDNSSearchPaths`.
const MAX_SEARCHES: usize = 32;
/// Longest joined search line in bytes. Source: Kubernetes `MaxDNSSearchListChars`.
const MAX_SEARCH_LINE: usize = 2048;

/// The file and what had to be left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// The whole file.
    pub text: String,
    /// One line for people for each cut.
    pub warnings: Vec<String>,
}

#[derive(Default)]
struct Resolver {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<(String, Option<String>)>,
}

/// `/etc/resolv.conf`: the host's resolver as the policy says, then `dnsConfig`, then cut to what resolvers take.
pub fn resolv_conf(pod: &Pod, host: &HostFacts) -> ResolvConf {
    let mut resolver = match pod.dns_policy {
        DnsPolicy::None => Resolver::default(),
        DnsPolicy::Default | DnsPolicy::ClusterFirst | DnsPolicy::ClusterFirstWithHostNet => {
            Resolver::read(&host.resolv_conf)
        }
    };
    let config = &pod.dns_config;
    config
        .nameservers
        .iter()
        .for_each(|s| push_new(&mut resolver.servers, s));
    config
        .searches
        .iter()
        .for_each(|s| push_new(&mut resolver.searches, s));
    for (name, value) in &config.options {
        resolver.set_option(name, value.clone());
    }
    let warnings = resolver.cut();
    ResolvConf {
        text: resolver.text(),
        warnings,
    }
}

impl Resolver {
    /// Reads a resolver file: name servers add up, the last `search` wins, options merge by name.
    fn read(text: &str) -> Resolver {
        let mut resolver = Resolver::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => words
                    .take(1)
                    .for_each(|s| push_new(&mut resolver.servers, s)),
                Some("search") => {
                    resolver.searches.clear();
                    for domain in words.map(|w| w.trim_end_matches('.')) {
                        push_new(&mut resolver.searches, domain);
                    }
                }
                Some("options") => {
                    for word in words {
                        let (name, value) = match word.split_once(':') {
                            Some((name, value)) => (name, Some(value.to_owned())),
                            None => (word, None),
                        };
                        resolver.set_option(name, value);
                    }
                }
                _ => {}
            }
        }
        resolver
    }

    fn set_option(&mut self, name: &str, value: Option<String>) {
        match self.options.iter_mut().find(|(known, _)| known == name) {
            Some(option) => option.1 = value,
            None => self.options.push((name.to_owned(), value)),
        }
    }

    fn cut(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.servers.len() > MAX_NAMESERVERS {
            let left_out = self.servers.split_off(MAX_NAMESERVERS);
            warnings.push(format!(
                "more than {MAX_NAMESERVERS} name servers: left out {}",
                left_out.join(" ")
            ));
        }
        let before = self.searches.len();
        self.searches.retain(|s| s.len() <= MAX_SEARCH);
        if self.searches.len() < before {
            warnings.push(format!(
                "search domains longer than {MAX_SEARCH} characters left out"
            ));
        }
        if self.searches.len() > MAX_SEARCHES {
            self.searches.truncate(MAX_SEARCHES);
            warnings.push(format!("only the first {MAX_SEARCHES} search domains kept"));
        }
        let before = self.searches.len();
        while self.searches.join(" ").len() > MAX_SEARCH_LINE {
            self.searches.pop();
        }
        if self.searches.len() < before {
            warnings.push(format!(
                "search domains beyond {MAX_SEARCH_LINE} characters left out"
            ));
        }
        warnings
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        let options: Vec<String> = self
            .options
            .iter()
            .map(
                |(name, value)| match value.as_deref().filter(|v| !v.is_empty()) {
                    Some(value) => format!("{name}:{value}"),
                    None => name.clone(),
                },
            )
            .collect();
        if !options.is_empty() {
            text.push_str(&format!("options {}\n", options.join(" ")));
        }
        text
    }
}

fn push_new(list: &mut Vec<String>, word: &str) {
    if !word.is_empty() && !list.iter().any(|known| known == word) {
        list.push(word.to_owned());
    }
}
