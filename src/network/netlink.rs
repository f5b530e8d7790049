//! Links, addresses and routes by rtnetlink: one blocking socket, one request at a time, each answered before the next. The
//! socket belongs to the network namespace in which it was opened.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::sys::socket::{
    AddressFamily as SocketFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use nix::sys::time::TimeVal;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Room for one read: the kernel puts at most 32 KiB into one answer to a dump. Source: `netlink_dump` in `af_netlink.c`.
const BUFFER_BYTES: usize = 32 * 1024;
/// How long the kernel may take to answer, in seconds: it does so at once, or when another has let go of its lock.
const ANSWER_SECONDS: i64 = 30;
/// Largest MTU of a veth pair that is asked for, in bytes. Source: `ETH_MAX_MTU`.
const MTU_MAX: u32 = 65535;

/// A socket to the kernel's routing tables.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A link as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub index: u32,
    pub name: String,
    pub alias: String,
    pub mac: Vec<u8>,
    pub mtu: u32,
    /// The bridge it is a port of.
    pub master: Option<u32>,
}

/// A pair of virtual links, one end here and one in another namespace.
pub(super) struct Pair<'a> {
    pub here: &'a str,
    pub there: &'a str,
    /// The namespace of the other end.
    pub namespace: BorrowedFd<'a>,
    /// Hardware address of the other end.
    pub mac: [u8; 6],
    pub mtu: u32,
}

impl Netlink {
    pub fn open() -> io::Result<Netlink> {
        let socket = socket(
            SocketFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        let patience = TimeVal::new(ANSWER_SECONDS, 0);
        nix::sys::socket::setsockopt(
            &socket,
            nix::sys::socket::sockopt::ReceiveTimeout,
            &patience,
        )?;
        Ok(Netlink {
            socket,
            sequence: 0,
        })
    }

    /// Sends one request and gives everything that answers it.
    fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        self.answers()
    }

    fn answers(&mut self) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut answers = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let n = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = &buffer[..n];
            while !rest.is_empty() {
                let bad = |e: netlink_packet_core::DecodeError| io::Error::other(e.to_string());
                let message: NetlinkMessage<RouteNetlinkMessage> =
                    NetlinkMessage::deserialize(rest).map_err(bad)?;
                let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                    NetlinkPayload::Error(error) => {
                        return Err(io::Error::from_raw_os_error(error.raw_code().abs()));
                    }
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    _ => {}
                }
            }
        }
    }

    fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | flags).map(|_| ())
    }

    fn create(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.change(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// The link of this name.
    pub fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        match self.ask(RouteNetlinkMessage::GetLink(message), NLM_F_ACK) {
            Ok(answers) => Ok(answers.into_iter().find_map(link)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Every link.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.ask(message, NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(link).collect())
    }

    /// Makes a bridge with this hardware address and brings it up.
    pub fn add_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> io::Result<()> {
        let mut message = up(LinkMessage::default());
        message.attributes.extend([
            LinkAttribute::IfName(name.into()),
            LinkAttribute::Address(mac.into()),
            LinkAttribute::Mtu(mtu.min(MTU_MAX)),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ]);
        self.create(RouteNetlinkMessage::NewLink(message))
    }

    /// Makes a pair of links. The other end can only come up when both are there: whoever configures it raises it.
    pub fn add_pair(&mut self, pair: &Pair<'_>) -> io::Result<()> {
        let mtu = LinkAttribute::Mtu(pair.mtu.min(MTU_MAX));
        let mut there = LinkMessage::default();
        there.attributes.extend([
            LinkAttribute::IfName(pair.there.into()),
            LinkAttribute::Address(pair.mac.into()),
            LinkAttribute::NetNsFd(pair.namespace.as_raw_fd()),
            mtu.clone(),
        ]);
        let mut here = up(LinkMessage::default());
        here.attributes.extend([
            LinkAttribute::IfName(pair.here.into()),
            mtu,
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(there))),
            ]),
        ]);
        self.create(RouteNetlinkMessage::NewLink(here))
    }

    /// Makes a link a port of a bridge that also sends back where a frame came from: a pod reaches itself by a port of the host.
    pub fn attach(&mut self, link: u32, bridge: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes.push(LinkAttribute::Controller(bridge));
        self.change(RouteNetlinkMessage::SetLink(message), 0)?;
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(
                true,
            )])),
        ]));
        self.change(RouteNetlinkMessage::NewLink(message), 0)
    }

    /// Writes on a link, for people, whose it is.
    pub fn set_alias(&mut self, link: u32, alias: &str) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message
            .attributes
            .push(LinkAttribute::IfAlias(alias.into()));
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Brings a link up.
    pub fn raise(&mut self, link: u32) -> io::Result<()> {
        let mut message = up(LinkMessage::default());
        message.header.index = link;
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Removes a link, and with one end of a pair the other. None there is no error.
    pub fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        match self.change(RouteNetlinkMessage::DelLink(message), 0) {
            Err(e) if is_absent(&e) => Ok(()),
            other => other,
        }
    }

    /// Gives a link an address; having it already is fine.
    pub fn add_address(&mut self, link: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix;
        message.header.index = link;
        message.header.scope = AddressScope::Universe;
        // Nobody else has it, so nobody is asked: that would take a second.
        message.header.flags = match address {
            IpAddr::V4(_) => AddressHeaderFlags::empty(),
            IpAddr::V6(_) => AddressHeaderFlags::Nodad,
        };
        message.attributes = vec![
            AddressAttribute::Local(address),
            AddressAttribute::Address(address),
        ];
        match self.create(RouteNetlinkMessage::NewAddress(message)) {
            Err(e) if e.raw_os_error() == Some(nix::libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Sends everything without a better route over a gateway.
    pub fn add_default_route(&mut self, link: u32, gateway: IpAddr) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family(gateway),
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Boot,
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Gateway(gateway.into()),
            RouteAttribute::Oif(link),
        ];
        match self.create(RouteNetlinkMessage::NewRoute(message)) {
            Err(e) if e.raw_os_error() == Some(nix::libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Where this machine sends packets to: destination, length of its prefix, and the link if there is one.
    pub fn routes(&mut self) -> io::Result<Vec<(IpAddr, u8, Option<u32>)>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let answers = self.ask(RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)?;
            routes.extend(answers.into_iter().filter_map(route));
        }
        Ok(routes)
    }

    /// Addresses of this namespace that others can reach.
    pub fn addresses(&mut self) -> io::Result<Vec<IpAddr>> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.ask(message, NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(address).collect())
    }
}

fn up(mut message: LinkMessage) -> LinkMessage {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn is_absent(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ENODEV)
}

fn link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else {
        return None;
    };
    let mut link = Link {
        index: message.header.index,
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(master) => link.master = Some(master),
            _ => {}
        }
    }
    Some(link)
}

fn route(message: RouteNetlinkMessage) -> Option<(IpAddr, u8, Option<u32>)> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return None;
    };
    let (mut to, mut link) = (None, None);
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => to = Some(IpAddr::V4(ip)),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => to = Some(IpAddr::V6(ip)),
            RouteAttribute::Oif(index) => link = Some(index),
            _ => {}
        }
    }
    let everywhere = match message.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let prefix = message.header.destination_prefix_length;
    Some((to.unwrap_or(everywhere), prefix, link))
}

fn address(message: RouteNetlinkMessage) -> Option<IpAddr> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    if message.header.scope != AddressScope::Universe {
        return None;
    }
    let mut shown = None;
    for attribute in message.attributes {
        match attribute {
            // Of a point-to-point link, `Address` is the other side's.
            AddressAttribute::Local(ip) => return Some(ip),
            AddressAttribute::Address(ip) => shown = Some(ip),
            _ => {}
        }
    }
    shown
}
