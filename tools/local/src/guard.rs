//! The guard against web pages: a browser on this machine sends a page's requests to loopback, too.

use std::net::IpAddr;

use http::{
    HeaderMap, Method, Request,
    header::{HOST, ORIGIN},
    uri::Authority,
};

const FROM_A_PAGE: &str = "this request has the header Origin, as those of web pages have; no page may use this \
                           server, so send the request without a browser";
const FOREIGN_HOST: &str = "the Host of this request is not a name of this server; call it by the address that it \
                            printed, or as localhost or host.docker.internal";

/// Why a server that listens at `address` refuses this request; `None` if it does not.
pub(crate) fn refusal<B>(request: &Request<B>, address: IpAddr) -> Option<&'static str> {
    // A page cannot leave this header out where it writes or reads across sites. A preflight does neither, and the
    // function opens its connection with one (`Bucket::warm`).
    if request.headers().contains_key(ORIGIN) && request.method() != Method::OPTIONS {
        return Some(FROM_A_PAGE);
    }
    // To the browser, a name that first led to the page's site and now leads here (DNS rebinding) is still that site.
    // So it lets the page read the answer and sends no Origin, but the Host is that name.
    (!has_own_host(request.headers(), address)).then_some(FOREIGN_HOST)
}

fn has_own_host(headers: &HeaderMap, address: IpAddr) -> bool {
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Some(host) = host.as_ref().map(Authority::host) else { return false };
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        // A server on 0.0.0.0 has every address of this machine.
        Ok(ip) => ip.is_loopback() || ip == address || address.is_unspecified(),
        // Docker's name for this machine. Nobody can own a name that ends in `.internal`.
        Err(_) => ["localhost", "host.docker.internal"].iter().any(|own| host.eq_ignore_ascii_case(own)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn only_this_machine_has_an_own_host() {
        let is_own = |host: &str, address: [u8; 4]| {
            let request = Request::builder().header(HOST, host).body(()).unwrap();
            refusal(&request, Ipv4Addr::from(address).into()).is_none()
        };
        for own in ["127.0.0.1:9000", "127.1.2.3", "localhost", "LocalHost:9000", "[::1]:9000"] {
            assert!(is_own(own, [127, 0, 0, 1]), "{own}");
        }
        assert!(is_own("host.docker.internal:9000", [127, 0, 0, 1]));
        for foreign in [
            "",
            "attacker.example",
            "127.0.0.1.attacker.example:9000",
            "localhost.attacker.example",
            "lake.localhost",
            "localhost@attacker.example",
            "192.168.1.5:9000",
            "0.0.0.0",
            "[::ffff:192.168.1.5]",
        ] {
            assert!(!is_own(foreign, [127, 0, 0, 1]), "{foreign}");
        }
        // Opened to the network, it has addresses there.
        assert!(is_own("192.168.1.5:9000", [192, 168, 1, 5]));
        assert!(is_own("192.168.1.5:9000", [0, 0, 0, 0]));
        assert!(!is_own("attacker.example", [0, 0, 0, 0]));
        assert!(refusal(&Request::new(()), Ipv4Addr::LOCALHOST.into()).is_some(), "no Host at all");
    }

    #[test]
    fn only_a_preflight_may_have_an_origin() {
        for (method, is_refused) in [("GET", true), ("POST", true), ("PUT", true), ("OPTIONS", false)] {
            for origin in ["null", "https://attacker.example", "http://localhost"] {
                let request = Request::builder().method(method).header(HOST, "localhost").header(ORIGIN, origin);
                let refusal = refusal(&request.body(()).unwrap(), Ipv4Addr::LOCALHOST.into());
                assert_eq!(refusal.is_some(), is_refused, "{method} {origin}");
            }
        }
    }
}
