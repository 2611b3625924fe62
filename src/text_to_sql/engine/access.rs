//! Where users' databases may live: the folders for SQLite files, the hosts and networks for servers.
//!
//! Names are resolved first and the addresses are what is judged, so a name cannot lead where its address may not; the
//! caller connects to the addresses it gets from here and to nothing else. Addresses where clouds keep their credentials
//! are refused unless a network in the rules names them, and our own PostgreSQL always is, by every address of this
//! machine. Left out: ports of another machine that are forwarded to our PostgreSQL.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;

use super::EngineError;

/// What the configuration allows users' databases to be.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Folders that SQLite files may lie in, at any depth.
    pub sqlite_dirs: Vec<PathBuf>,
    /// Where servers may be. Empty: anywhere but where clouds keep credentials.
    pub database_hosts: Vec<HostRule>,
    /// Our own PostgreSQL, refused whatever the rules say.
    pub own_postgres: Vec<OwnPostgres>,
}

/// One entry of `ALMANAC_DATABASE_HOSTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// A host by the name in the URL; `*.example.com` covers the names below it.
    Name(String),
    /// An address or a network: `10.1.2.3`, `10.0.0.0/8`.
    Network(IpNet),
    /// A folder of Unix sockets: `/run/postgresql`.
    Sockets(PathBuf),
}

/// How our own PostgreSQL is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnPostgres {
    Host {
        host: String,
        port: u16,
    },
    /// The socket itself: `/data/postgres/.s.PGSQL.5432`.
    Socket(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a host name, nor an address, nor a network, nor a folder of sockets")]
pub struct InvalidHostRule(String);

impl FromStr for HostRule {
    type Err = InvalidHostRule;

    fn from_str(rule: &str) -> Result<Self, InvalidHostRule> {
        let rule = rule.trim();
        if rule.starts_with('/') {
            return Ok(Self::Sockets(rule.into()));
        }
        if let Ok(network) = rule.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = rule.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let name = rule.strip_prefix("*.").unwrap_or(rule);
        match !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
            true => Ok(Self::Name(rule.to_ascii_lowercase())),
            false => Err(InvalidHostRule(rule.to_owned())),
        }
    }
}

impl Access {
    /// The file that a `sqlite:` path names, with every symbolic link resolved. A relative path is looked for in the
    /// allowed folders in order.
    pub(super) fn sqlite_file(&self, path: &str) -> Result<PathBuf, EngineError> {
        let path = Path::new(path);
        let candidates: Vec<PathBuf> = match path.is_absolute() {
            true => vec![path.to_owned()],
            false => self.sqlite_dirs.iter().map(|dir| dir.join(path)).collect(),
        };
        let found = candidates.iter().find_map(|candidate| fs::canonicalize(candidate).ok());
        match found {
            Some(file) if !self.within_sqlite_dirs(&file) => Err(outside_sqlite_dirs()),
            Some(file) if !file.is_file() => Err(EngineError::Unreachable("the path is not a file".into())),
            Some(file) => Ok(file),
            // Whether a file exists is only told about the allowed folders.
            None if candidates.iter().any(|candidate| self.lexically_within(candidate)) => {
                Err(EngineError::Unreachable("there is no such file".into()))
            }
            None => Err(outside_sqlite_dirs()),
        }
    }

    /// The addresses of `host` that may be connected to, in the resolver's order.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EngineError> {
        let own = self.own_addresses().await?;
        let resolved =
            resolve(host, port).await.map_err(|_| EngineError::Unreachable(format!("{host} has no address")))?;
        let allowed: Vec<SocketAddr> = resolved
            .into_iter()
            .map(reached)
            .filter(|address| self.allows(host, address.ip()) && !own.iter().any(|own| same_server(*own, *address)))
            .collect();
        match allowed.is_empty() {
            true => Err(EngineError::NotAllowed(format!("databases on {host} are not allowed here"))),
            false => Ok(allowed),
        }
    }

    /// A server's socket, with every symbolic link resolved.
    pub(super) fn socket(&self, socket: &Path) -> Result<PathBuf, EngineError> {
        let refused = || EngineError::NotAllowed("databases on this socket are not allowed here".into());
        // One answer for a missing file, for one of another kind and for a forbidden socket, so that nobody can map our
        // folders.
        let socket = fs::canonicalize(socket).map_err(|_| refused())?;
        if !fs::symlink_metadata(&socket).is_ok_and(|found| found.file_type().is_socket()) {
            return Err(refused());
        }
        let listed = self.database_hosts.is_empty()
            || self.database_hosts.iter().any(|rule| match rule {
                HostRule::Sockets(dir) => fs::canonicalize(dir).is_ok_and(|dir| socket.parent() == Some(&dir)),
                HostRule::Name(_) | HostRule::Network(_) => false,
            });
        match listed && !self.is_own_socket(&socket) {
            true => Ok(socket),
            false => Err(refused()),
        }
    }

    fn within_sqlite_dirs(&self, file: &Path) -> bool {
        self.sqlite_dirs.iter().filter_map(|dir| fs::canonicalize(dir).ok()).any(|dir| file.starts_with(dir))
    }

    fn lexically_within(&self, path: &Path) -> bool {
        !path.components().any(|part| part == Component::ParentDir)
            && self.sqlite_dirs.iter().any(|dir| path.starts_with(dir))
    }

    fn allows(&self, host: &str, address: IpAddr) -> bool {
        let network_listed = self.database_hosts.iter().any(|rule| match rule {
            HostRule::Network(network) => network.contains(&address),
            HostRule::Name(_) | HostRule::Sockets(_) => false,
        });
        let name_listed = self.database_hosts.iter().any(|rule| match rule {
            HostRule::Name(name) => name_matches(name, host),
            HostRule::Network(_) | HostRule::Sockets(_) => false,
        });
        network_listed || (!may_hold_credentials(address) && (self.database_hosts.is_empty() || name_listed))
    }

    /// An own server whose name leads nowhere just now could be anywhere: then nothing may be connected to.
    async fn own_addresses(&self) -> Result<Vec<SocketAddr>, EngineError> {
        let mut own = Vec::new();
        for server in &self.own_postgres {
            // A path is what the driver takes for a host when it uses a socket.
            if let OwnPostgres::Host { host, port } = server
                && !host.starts_with('/')
            {
                let unknown = |_| EngineError::Busy("Almanac's own database has no address at the moment".into());
                own.extend(resolve(host, *port).await.map_err(unknown)?.into_iter().map(reached));
            }
        }
        Ok(own)
    }

    /// By the folder and by the file itself: neither a symbolic link, nor a bind mount, nor a hard link hides it.
    fn is_own_socket(&self, socket: &Path) -> bool {
        self.own_postgres.iter().any(|server| match server {
            OwnPostgres::Socket(own) => {
                same_file(own, socket).unwrap_or(false)
                    || own.parent().zip(socket.parent()).is_some_and(|(own, dir)| same_file(own, dir).unwrap_or(false))
            }
            OwnPostgres::Host { .. } => false,
        })
    }
}

fn outside_sqlite_dirs() -> EngineError {
    EngineError::NotAllowed("SQLite files are only opened from the folders in ALMANAC_SQLITE_DIRS".into())
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await?.collect())
}

/// The address that a connection really reaches: an IPv4 address in IPv6 clothes is that IPv4 address, and the
/// unspecified address is this machine.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// All addresses of this machine lead to what listens on one of them.
fn same_server(own: SocketAddr, other: SocketAddr) -> bool {
    own.port() == other.port()
        && faces(other.ip()).any(|other| own.ip() == other || (is_this_machine(own.ip()) && is_this_machine(other)))
}

/// Whether packets to the address stay on this machine: then, and only then, they leave from the address itself. Asking
/// the kernel for a route sends nothing.
fn is_this_machine(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, DISCARD))?;
        socket.local_addr()
    };
    address.is_loopback() || source().is_ok_and(|source| source.ip() == address)
}

/// Any port would do.
const DISCARD: u16 = 9;

/// The address itself, and the IPv4 address that a gateway on the way would make of it.
fn faces(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
    };
    [address].into_iter().chain(inner)
}

/// NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380, the address is inverted), and the deprecated
/// IPv4-compatible form (RFC 4291). The mapped form is no longer an IPv6 address when it gets here.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = |[.., a, b]: [u16; 8]| Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b));
    match address.segments() {
        segments @ ([0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] | [0, 0, 0, 0, 0, 0, ..]) => {
            Some(last(segments))
        }
        [0x2002, a, b, ..] => Some(Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b))),
        segments @ [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!last(segments).to_bits())),
        _ => None,
    }
}

/// Link-local addresses, and where clouds serve the same from elsewhere: Amazon (to machines, and to containers in EKS)
/// and Google over IPv6, Azure's wire server, Alibaba, Oracle.
fn may_hold_credentials(address: IpAddr) -> bool {
    const METADATA: [IpAddr; 6] = [
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
        IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
        IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    ];
    let link_local = |address| match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    faces(address).any(|address| link_local(address) || METADATA.contains(&address))
}

fn name_matches(rule: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match rule.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix),
        None => host == rule,
    }
}

fn same_file(a: &Path, b: &Path) -> io::Result<bool> {
    let (a, b) = (fs::metadata(a)?, fs::metadata(b)?);
    Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[&str]) -> Access {
        let database_hosts = rules.iter().map(|rule| rule.parse().expect("a rule")).collect();
        Access { database_hosts, ..Access::default() }
    }

    fn allows(access: &Access, host: &str, address: &str) -> bool {
        access.allows(host, address.parse().expect("an address"))
    }

    #[test]
    fn without_rules_everything_is_allowed_that_holds_no_credentials() {
        let access = rules(&[]);
        assert!(allows(&access, "db.example.com", "203.0.113.7"));
        assert!(allows(&access, "localhost", "127.0.0.1"));
        assert!(!allows(&access, "metadata", "169.254.169.254"));
        assert!(!allows(&access, "fe80::1", "fe80::1"));
    }

    #[test]
    fn rules_name_hosts_addresses_and_networks() {
        let access = rules(&["db.example.com", "*.corp.example", "10.0.0.0/8", "2001:db8::1"]);
        assert!(allows(&access, "DB.example.com.", "203.0.113.7"));
        assert!(allows(&access, "a.corp.example", "203.0.113.7"));
        assert!(allows(&access, "anything", "10.9.8.7"));
        assert!(allows(&access, "2001:db8::1", "2001:db8::1"));
        assert!(!allows(&access, "corp.example.evil", "203.0.113.7"));
        assert!(!allows(&access, "evilcorp.example", "203.0.113.7"));
        assert!(!allows(&access, "other.example.com", "203.0.113.7"));
    }

    #[test]
    fn a_name_never_opens_link_local_addresses_but_a_network_does() {
        assert!(!allows(&rules(&["trusted.example"]), "trusted.example", "169.254.169.254"));
        assert!(allows(&rules(&["169.254.10.0/24"]), "any", "169.254.10.1"));
    }

    #[test]
    fn nonsense_is_not_a_rule() {
        for rule in ["", "  ", "a b", "10.0.0.0/33", "http://x", "*"] {
            assert!(rule.parse::<HostRule>().is_err(), "{rule:?}");
        }
    }

    #[tokio::test]
    async fn our_own_server_is_refused_under_every_address_of_this_machine() {
        let own = vec![OwnPostgres::Host { host: "127.0.0.1".into(), port: 5432 }];
        let access = Access { own_postgres: own, ..rules(&["0.0.0.0/0", "::/0"]) };
        for host in ["127.0.0.1", "127.9.9.9", "[::1]", "0.0.0.0", "::ffff:127.0.0.1", "[::]"] {
            assert!(matches!(access.addresses(host, 5432).await, Err(EngineError::NotAllowed(_))), "{host}");
        }
        assert!(access.addresses("127.0.0.1", 5433).await.is_ok());
    }

    #[tokio::test]
    async fn our_own_server_is_refused_by_the_address_that_others_reach_this_machine_by() {
        let Some(outward) = outward_address() else { return };
        assert!(is_this_machine(outward) && !outward.is_loopback());
        let refused = async |own: &str, host: String| {
            let own = vec![OwnPostgres::Host { host: own.into(), port: 5432 }];
            let access = Access { own_postgres: own, ..rules(&["0.0.0.0/0", "::/0"]) };
            matches!(access.addresses(&host, 5432).await, Err(EngineError::NotAllowed(_)))
        };
        assert!(refused("localhost", outward.to_string()).await);
        assert!(refused(&outward.to_string(), "127.0.0.1".into()).await);
        assert!(refused("0.0.0.0", outward.to_string()).await);
        if let IpAddr::V4(outward) = outward {
            let [a, b, c, d] = outward.octets();
            assert!(refused("localhost", format!("64:ff9b::{a:02x}{b:02x}:{c:02x}{d:02x}")).await);
        }
        assert!(!refused("localhost", "203.0.113.7".into()).await);
        assert!(!refused("203.0.113.7", "127.0.0.1".into()).await);
        assert!(refused("203.0.113.7", "203.0.113.7".into()).await);
    }

    /// Where packets to the world would leave from, if there is a way.
    fn outward_address() -> Option<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(203, 0, 113, 7), DISCARD)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }

    #[tokio::test]
    async fn nothing_is_connected_to_while_our_own_server_cannot_be_told_from_others() {
        let own = vec![OwnPostgres::Host { host: "own-database.invalid".into(), port: 5432 }];
        let access = Access { own_postgres: own, ..Access::default() };
        assert!(matches!(access.addresses("127.0.0.1", 5432).await, Err(EngineError::Busy(_))));
        let by_socket = OwnPostgres::Host { host: "/var/run/postgresql".into(), port: 5432 };
        let access = Access { own_postgres: vec![by_socket], ..Access::default() };
        assert!(access.addresses("127.0.0.1", 5432).await.is_ok());
    }

    #[test]
    fn credentials_of_a_cloud_are_out_of_reach_in_every_form_of_their_address() {
        for address in [
            "169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:5601:5601",
            "::a9fe:a9fe",
            "fe80::a9fe:a9fe",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "168.63.129.16",
            "100.100.100.200",
            "64:ff9b::6464:64c8",
            "192.0.0.192",
        ] {
            assert!(!allows(&rules(&[]), "metadata", address), "{address}");
            assert!(!allows(&rules(&["metadata", "10.0.0.0/8"]), "metadata", address), "{address}");
            assert!(allows(&rules(&[address]), "metadata", address), "{address}");
        }
        for address in ["64:ff9b::cb00:7107", "2002:cb00:7107::1", "2001:db8::a9fe:a9fe", "fd00:ec2::255", "::1"] {
            assert!(allows(&rules(&[]), "db", address), "{address}");
        }
    }

    #[tokio::test]
    async fn an_ipv4_address_in_ipv6_clothes_is_judged_as_what_it_is() {
        let refused = rules(&[]).addresses("::ffff:169.254.169.254", 5432).await;
        assert!(matches!(refused, Err(EngineError::NotAllowed(_))));
    }

    #[test]
    fn our_own_socket_is_refused_however_it_is_reached() {
        let root = test_dir();
        let (own, other) = (root.join("own"), root.join("other"));
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(&other).unwrap();
        let socket = own.join(".s.PGSQL.5432");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        fs::hard_link(&socket, other.join(".s.PGSQL.1")).unwrap();
        std::os::unix::fs::symlink(&socket, other.join(".s.PGSQL.2")).unwrap();
        std::os::unix::fs::symlink(&own, root.join("link")).unwrap();
        let _theirs = std::os::unix::net::UnixListener::bind(other.join(".s.PGSQL.3")).unwrap();

        let access = Access { own_postgres: vec![OwnPostgres::Socket(socket)], ..Access::default() };
        assert!(access.socket(&own.join(".s.PGSQL.5432")).is_err());
        assert!(access.socket(&root.join("link/.s.PGSQL.5432")).is_err());
        assert!(access.socket(&other.join(".s.PGSQL.1")).is_err(), "a hard link");
        assert!(access.socket(&other.join(".s.PGSQL.2")).is_err(), "a symbolic link");
        assert!(access.socket(&other.join(".s.PGSQL.3")).is_ok());
        fs::write(other.join(".s.PGSQL.4"), b"").unwrap();
        fs::create_dir(other.join(".s.PGSQL.5")).unwrap();
        let missing = access.socket(&other.join(".s.PGSQL.6")).unwrap_err();
        for no_socket in [".s.PGSQL.4", ".s.PGSQL.5"] {
            assert_eq!(access.socket(&other.join(no_socket)).unwrap_err(), missing, "{no_socket}");
        }
        let ruled = Access { database_hosts: vec!["10.0.0.0/8".parse().unwrap()], ..access };
        assert!(ruled.socket(&other.join(".s.PGSQL.3")).is_err(), "rules that name no folder of sockets allow none");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn sqlite_files_outside_the_folders_are_refused_through_links_and_dots_too() {
        let root = test_dir();
        let (inside, outside) = (root.join("databases"), root.join("elsewhere"));
        fs::create_dir_all(inside.join("deep")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        for file in [inside.join("deep/a.db"), outside.join("b.db")] {
            fs::write(file, b"").unwrap();
        }
        std::os::unix::fs::symlink(outside.join("b.db"), inside.join("link.db")).unwrap();
        let access = Access { sqlite_dirs: vec![inside.clone()], ..Access::default() };

        assert_eq!(access.sqlite_file("deep/a.db").unwrap(), fs::canonicalize(inside.join("deep/a.db")).unwrap());
        assert!(access.sqlite_file(inside.join("deep/a.db").to_str().unwrap()).is_ok());
        for path in ["link.db", "../elsewhere/b.db", "/etc/hostname", "/no/such/file", "../no/such/file"] {
            assert!(matches!(access.sqlite_file(path), Err(EngineError::NotAllowed(_))), "{path}");
        }
        for path in ["missing.db", "deep", ":memory:"] {
            assert!(matches!(access.sqlite_file(path), Err(EngineError::Unreachable(_))), "{path}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    fn test_dir() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("almanac-access-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }
}
