//! IP addresses and networks of both versions as numbers: the ground of `ipaddr` and its relatives.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An address within its network. The numbers of version 4 fill the low 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    pub version: u8,
    pub ip: u128,
    pub prefix: u32,
}

impl Net {
    pub fn host(version: u8, ip: u128) -> Self {
        Self { version, ip, prefix: if version == 4 { 32 } else { 128 } }
    }

    /// An address without a prefix.
    pub fn parse_address(text: &str) -> Option<Self> {
        if let Ok(v4) = text.parse::<Ipv4Addr>() {
            return Some(Self::host(4, u128::from(u32::from(v4))));
        }
        text.parse::<Ipv6Addr>().ok().map(|v6| Self::host(6, u128::from(v6)))
    }

    /// `address/prefix`, `address/netmask` or `address/hostmask`; or an address alone.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((address, prefix)) = text.split_once('/') else { return Self::parse_address(text) };
        let net = Self::parse_address(address)?;
        let bits = net.bits();
        let prefix = match prefix.parse::<u32>() {
            Ok(prefix) if !prefix.to_string().is_empty() => prefix,
            _ => {
                let mask = Self::parse_address(prefix).filter(|m| m.version == net.version)?.ip;
                let all = net.all();
                let inverted = !mask & all;
                // ones from the left: a netmask; ones from the right: a hostmask
                if inverted & inverted.wrapping_add(1) == 0 {
                    bits - inverted.count_ones()
                } else if mask & mask.wrapping_add(1) == 0 {
                    bits - mask.count_ones()
                } else {
                    return None;
                }
            }
        };
        (prefix <= bits).then_some(Self { prefix, ..net })
    }

    pub fn bits(self) -> u32 {
        if self.version == 4 { 32 } else { 128 }
    }

    /// The highest address there is.
    fn all(self) -> u128 {
        if self.version == 4 { u128::from(u32::MAX) } else { u128::MAX }
    }

    pub fn hostmask(self) -> u128 {
        match self.bits() - self.prefix {
            128 => u128::MAX,
            bits => (1 << bits) - 1,
        }
    }

    pub fn netmask(self) -> u128 {
        self.all() & !self.hostmask()
    }

    pub fn first(self) -> u128 {
        self.ip & self.netmask()
    }

    pub fn last(self) -> u128 {
        self.first() | self.hostmask()
    }

    /// How many addresses; of all version 6 addresses one less than there are.
    pub fn size(self) -> u128 {
        self.hostmask().saturating_add(1)
    }

    /// First and last address that a machine may have.
    pub fn usable(self) -> Option<(u128, u128)> {
        match self.size() {
            1 => None,
            2 => Some((self.first(), self.last())),
            _ => Some((self.first() + 1, self.last() - 1)),
        }
    }

    pub fn at(self, ip: u128) -> Self {
        Self { ip, ..self }
    }

    pub fn network(self) -> Self {
        self.at(self.first())
    }

    pub fn with_prefix(self, prefix: u32) -> Self {
        Self { prefix, ..self }.network()
    }

    pub fn contains(self, other: Self) -> bool {
        self.version == other.version && self.first() <= other.first() && other.last() <= self.last()
    }

    /// An address by its place, from the end if negative.
    pub fn nth(self, index: i128) -> Option<u128> {
        let offset = index.unsigned_abs();
        if index >= 0 {
            (offset < self.size()).then(|| self.first() + offset)
        } else {
            (offset <= self.size()).then(|| self.last() - (offset - 1))
        }
    }

    /// The text of an address of this version.
    pub fn show(self, ip: u128) -> String {
        if self.version == 4 { Ipv4Addr::from(ip as u32).to_string() } else { show_v6(ip) }
    }

    pub fn address(self) -> String {
        self.show(self.ip)
    }

    pub fn cidr(self) -> String {
        format!("{}/{}", self.address(), self.prefix)
    }

    fn within(self, ranges: &[&str]) -> bool {
        ranges.iter().filter_map(|r| Self::parse(r)).any(|range| range.contains(self))
    }

    pub fn is_loopback(self) -> bool {
        self.within(&["127.0.0.0/8", "::1/128"])
    }

    pub fn is_multicast(self) -> bool {
        self.within(&["224.0.0.0/4", "ff00::/8"])
    }

    pub fn is_link_local(self) -> bool {
        self.within(&["169.254.0.0/16", "fe80::/10"])
    }

    /// Not routed on the internet, by IANA's registries of special addresses.
    pub fn is_private(self) -> bool {
        self.within(&[
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "::/127",
            "::ffff:0:0/96",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "fc00::/7",
            "fe80::/10",
        ])
    }
}

/// As inet_ntop writes it; only mapped and compatible addresses end in a version 4 address.
fn show_v6(ip: u128) -> String {
    let text = Ipv6Addr::from(ip).to_string();
    if ip >> 32 == 0 && ip > 0xffff { format!("::{}", Ipv4Addr::from(ip as u32)) } else { text }
}
