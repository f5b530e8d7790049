//! Names, and who resolves them.

use super::*;

#[test]
fn host_names_are_cut_overridden_and_qualified() {
    let host = host();
    let name = |change: &dyn Fn(&mut Pod)| {
        let mut pod = pod();
        change(&mut pod);
        kernel_hostname(&pod, &host).map_err(|e| e.to_string())
    };
    let long = format!("{}-.{}", "a".repeat(61), "b".repeat(40));
    assert_eq!(name(&|_| {}), Ok("p".to_owned()));
    assert_eq!(name(&|p| p.name = long.clone()), Ok("a".repeat(61)));
    assert_eq!(name(&|p| p.hostname = Some("h".into())), Ok("h".to_owned()));
    assert_eq!(
        name(&|p| p.hostname_override = Some("x".repeat(70))),
        Ok("x".repeat(63))
    );
    assert_eq!(name(&|p| p.host_network = true), Ok("machine".to_owned()));
    let qualified = |subdomain: &str| {
        let subdomain = Some(subdomain.to_owned());
        name(&move |p| {
            p.subdomain = subdomain.clone();
            p.set_hostname_as_fqdn = true;
        })
    };
    assert_eq!(
        qualified("s"),
        Ok("p.s.default.svc.cluster.local".to_owned())
    );
    assert!(qualified(&"s".repeat(40)).is_err_and(|e| e.ends_with("longer than 64 characters")));
}

#[test]
fn hosts_files_are_the_kubelets_byte_for_byte() {
    let mut pod = pod();
    let fixed = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
    assert_eq!(
        hosts_file(&pod, &host(), &[], &[]),
        format!("{fixed}127.0.0.1\tp\n")
    );
    pod.hostname = Some("h".to_owned());
    pod.subdomain = Some("s".to_owned());
    pod.host_aliases = vec![HostAlias {
        ip: "203.0.113.1".to_owned(),
        hostnames: vec!["one".to_owned(), "two".to_owned()],
    }];
    let aliases = "\n# Entries added by HostAliases.\n203.0.113.1\tone\ttwo\n";
    let ips = ["10.0.0.2".to_owned(), "fd00::2".to_owned()];
    let full = "h.s.default.svc.cluster.local\th";
    assert_eq!(
        hosts_file(&pod, &host(), &ips, &[]),
        format!("{fixed}10.0.0.2\t{full}\nfd00::2\t{full}\n{aliases}")
    );
    assert_eq!(hostname_file(&pod, &host()).expect("short enough"), "h\n");
    pod.host_network = true;
    assert_eq!(
        hosts_file(&pod, &host(), &ips, &[]),
        format!(
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1\tlocalhost\n192.0.2.7\tmachine\n{aliases}"
        )
    );
}

#[test]
fn resolver_files_take_the_hosts_and_add_the_pods() {
    let mut pod = pod();
    assert_eq!(
        resolv_conf(&pod, &host()).text,
        "search example.com corp.example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\noptions ndots:3 rotate\n"
    );
    pod.dns_config = DnsConfig {
        nameservers: vec!["9.9.9.9".to_owned(), "192.0.2.53".to_owned()],
        searches: vec!["a.b".to_owned()],
        options: vec![
            ("ndots".to_owned(), Some("2".to_owned())),
            ("edns0".to_owned(), None),
        ],
    };
    assert_eq!(
        resolv_conf(&pod, &host()).text,
        "search example.com corp.example a.b\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nnameserver 9.9.9.9\n\
         options ndots:2 rotate edns0\n"
    );
    pod.dns_policy = DnsPolicy::None;
    pod.dns_config.nameservers.truncate(1);
    let made = resolv_conf(&pod, &host());
    assert_eq!(
        made.text,
        "search a.b\nnameserver 9.9.9.9\noptions ndots:2 edns0\n"
    );
    assert_eq!(made.warnings, [""; 0]);
}

#[test]
fn what_resolvers_do_not_take_is_cut_and_said() {
    let mut pod = pod();
    pod.dns_policy = DnsPolicy::None;
    pod.dns_config.nameservers = (1..=4).map(|n| format!("192.0.2.{n}")).collect();
    pod.dns_config.searches = vec!["x".repeat(254)];
    pod.dns_config
        .searches
        .extend((0..40).map(|n| format!("{n:0>100}")));
    let made = resolv_conf(&pod, &host());
    let search = made.text.lines().next().expect("a search line");
    assert_eq!(
        search.split(' ').count() - 1,
        20,
        "20 × 101 - 1 is the most that fits in 2048"
    );
    assert_eq!(made.text.matches("nameserver").count(), 3);
    assert_eq!(made.warnings.len(), 4, "{:?}", made.warnings);
}

#[test]
fn sysctls_are_safe_chosen_or_forbidden() {
    let ask = |name: &str, kernel, extra: &[&str], change: &dyn Fn(&mut Pod)| {
        let mut pod = pod();
        pod.security.sysctls = vec![(name.to_owned(), "1".to_owned())];
        change(&mut pod);
        let extra: Vec<String> = extra.iter().map(|e| (*e).to_owned()).collect();
        forbidden_sysctl(&pod, kernel, &extra)
    };
    let new = (6, 18);
    let plain: &dyn Fn(&mut Pod) = &|_| {};
    assert_eq!(
        ask("net.ipv4.ip_unprivileged_port_start", new, &[], plain),
        None
    );
    assert_eq!(
        ask("kernel.msgmax", new, &[], plain).as_deref(),
        Some("Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted")
    );
    assert_eq!(ask("kernel.msgmax", new, &["kernel.msg*"], plain), None);
    assert_eq!(
        ask("net.core.somaxconn", new, &["net.core.somaxconn"], plain),
        None
    );
    assert!(
        ask("kernel.panic", new, &["kernel.*"], plain).is_some(),
        "belongs to the whole machine"
    );
    assert!(ask("net.ipv4.tcp_rmem", (4, 14), &[], plain).is_some());
    assert_eq!(ask("net.ipv4.tcp_rmem", (4, 15), &[], plain), None);
    let host_net: &dyn Fn(&mut Pod) = &|p| p.host_network = true;
    assert!(ask("net.ipv4.tcp_syncookies", new, &[], host_net).is_some());
    let host_ipc: &dyn Fn(&mut Pod) = &|p| p.host_ipc = true;
    assert!(ask("kernel.shm_rmid_forced", new, &[], host_ipc).is_some());
}

#[test]
fn pause_takes_the_pods_sysctls_and_a_prepared_network() {
    let mut pod = pod();
    let set = ("net.ipv4.ip_unprivileged_port_start", "1000");
    pod.security.sysctls = vec![(set.0.to_owned(), set.1.to_owned())];
    let spec = pause_spec(&PauseInput {
        pod: &pod,
        instance: &InstanceId("pause-0".to_owned()),
        attempt: 0,
        host: &host(),
        netns: Some(Path::new("/run/netns/x")),
        seccomp_default: SandboxKind::Runtime.seccomp(),
        apparmor_default: None,
    })
    .expect("valid");
    let value: serde_json::Value = serde_json::from_slice(&to_json(&spec)).expect("reads back");
    assert_eq!(
        value["linux"]["sysctl"],
        serde_json::json!({set.0: set.1, "net.ipv4.ping_group_range": "0 2147483647"})
    );
    assert_eq!(
        value["linux"]["namespaces"][0],
        serde_json::json!({"type": "network", "path": "/run/netns/x"})
    );
}
