use super::*;
use crate::types::MemberId;

#[track_caller]
fn canonical(text: &str) -> String {
    Url::parse(text).unwrap().to_string()
}

#[track_caller]
fn refusal(text: &str) -> String {
    Url::parse(text).unwrap_err()
}

#[test]
fn urls_are_printed_as_go_prints_them() {
    for same in [
        "http://127.0.0.1:2379",
        "http://h:1?",
        "http://u:p@h:1?x#y",
        "http://a<b>\"c:1",
        "unix:a",
        "unix:/a",
        "unix:///a",
        "unix://a",
        "unix://a/b",
        "unix:////a",
        "unix:",
        "unix:///a;b:@&=+$!*()",
        "unix:///a?b c",
        "unix:///%41%2f",
        "http://h:1#%41%20%2f",
        "http://:@h:1",
        "http://@h:1",
        "http://h*'():1",
        "http://[::1]:2379",
        "http://h:",
    ] {
        assert_eq!(canonical(same), same);
    }
    for (text, expected) in [
        (" HTTP://H:1 ", "http://H:1"),
        ("http://é:1", "http://%C3%A9:1"),
        ("http://%C3%A9:1", "http://%C3%A9:1"),
        ("unix:/a b", "unix:/a%20b"),
        ("unix:///é", "unix:///%C3%A9"),
        ("unix://", "unix:"),
        ("http://h:1#", "http://h:1"),
        ("http://h:1#a b", "http://h:1#a%20b"),
        ("http://u%2fr:x%40@h:1", "http://u%2Fr:x%40@h:1"),
        ("http://[fe80::1%25e%41]:1", "http://[fe80::1%25eA]:1"),
    ] {
        assert_eq!(canonical(text), expected);
    }
}

#[test]
fn bad_urls_are_refused_in_etcd_s_words() {
    for (text, why) in [
        ("foo", "URL scheme must be http, https, unix, or unixs: foo"),
        ("", "URL scheme must be http, https, unix, or unixs: "),
        ("localhost:2379", "URL scheme must be http, https, unix, or unixs: localhost:2379"),
        ("h+t:1", "URL scheme must be http, https, unix, or unixs: h+t:1"),
        ("//h:1", "URL scheme must be http, https, unix, or unixs: //h:1"),
        ("///h:1", "URL scheme must be http, https, unix, or unixs: ///h:1"),
        ("/a:b", "URL scheme must be http, https, unix, or unixs: /a:b"),
        ("*", "URL scheme must be http, https, unix, or unixs: *"),
        ("http://127.0.0.1", "URL address does not have the form \"host:port\": http://127.0.0.1"),
        ("http://[::1]", "URL address does not have the form \"host:port\": http://[::1]"),
        ("http:127.0.0.1:1", "URL address does not have the form \"host:port\": http:127.0.0.1:1"),
        ("http://", "URL address does not have the form \"host:port\": http://"),
        ("http://a/b:1", "URL address does not have the form \"host:port\": http://a/b:1"),
        ("http://127.0.0.1:2379/", "URL must not contain a path: http://127.0.0.1:2379/"),
        ("http://[::1:2379", "parse \"http://[::1:2379\": missing ']' in host"),
        ("http://127.0.0.1:abc", "parse \"http://127.0.0.1:abc\": invalid port \":abc\" after host"),
        ("http://::1:2379", "parse \"http://::1:2379\": invalid port \"::1:2379\" after host"),
        ("http://[::1]:2379:3", "parse \"http://[::1]:2379:3\": invalid port \":2379:3\" after host"),
        ("http://[::1]x:1", "parse \"http://[::1]x:1\": invalid port \"x:1\" after host"),
        ("://x", "parse \"://x\": missing protocol scheme"),
        ("http://a b:1", "parse \"http://a b:1\": invalid character \" \" in host name"),
        ("http://a\\b:1", "parse \"http://a\\\\b:1\": invalid character \"\\\\\" in host name"),
        ("http://%zz:1", "parse \"http://%zz:1\": invalid URL escape \"%zz\""),
        ("http://%41:1", "parse \"http://%41:1\": invalid URL escape \"%41\""),
        ("unix://%zz", "parse \"unix://%zz\": invalid URL escape \"%zz\""),
        ("http://h:1/%z", "parse \"http://h:1/%z\": invalid URL escape \"%z\""),
        ("http://h:1#%zz", "parse \"http://h:1#%zz\": invalid URL escape \"%zz\""),
        ("http://[::1%eth0]:1", "parse \"http://[::1%eth0]:1\": invalid URL escape \"%et\""),
        ("127.0.0.1:2379", "parse \"127.0.0.1:2379\": first path segment in URL cannot contain colon"),
        ("1http://a:1", "parse \"1http://a:1\": first path segment in URL cannot contain colon"),
        ("http://a\u{1}b:1", "parse \"http://a\\x01b:1\": net/url: invalid control character in URL"),
        ("http://u ser@h:1", "parse \"http://u ser@h:1\": net/url: invalid userinfo"),
        ("http://[1.2.3.4]:1", "parse \"http://[1.2.3.4]:1\": invalid IP-literal"),
        ("http://a[::1]:1", "parse \"http://a[::1]:1\": invalid IP-literal"),
        ("http://[foo]:1", "parse \"http://[foo]:1\": invalid host: ParseAddr(\"foo\"): unable to parse IP"),
        ("http://[]:1", "parse \"http://[]:1\": invalid host: ParseAddr(\"\"): unable to parse IP"),
        ("http://%é:1", "parse \"http://%é:1\": invalid URL escape \"%é\""),
    ] {
        assert_eq!(refusal(text), why, "{text}");
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let alphabet = [
        "http", "unix", ":", "/", "//", "[", "]", "%", "25", "4", "é", "@", "#", "?", "a", ".", "\u{1}", " ", "-", "\\",
    ];
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let pick = usize::try_from(state % 20).unwrap();
            text.push_str(alphabet[pick]);
        }
        if let Ok(url) = Url::parse(&text) {
            let printed = url.to_string();
            assert_eq!(Url::parse(&printed).map(|again| again.to_string()), Ok(printed), "{text}");
        }
    }
}

#[test]
fn a_url_tells_what_to_bind() {
    let tcp = Url::parse("https://[::1]:2379").unwrap();
    assert_eq!(
        (tcp.scheme(), tcp.host_and_port(), tcp.address()),
        (Scheme::Https, Some(("::1", "2379")), "[::1]:2379".to_owned())
    );
    assert!(tcp.scheme().is_secure());
    let socket = Url::parse("unix:///run/a%20b").unwrap();
    assert_eq!((socket.host_and_port(), socket.address()), (None, "/run/a b".to_owned()));
    assert_eq!(Url::parse("unix://a/b").unwrap().address(), "a/b");
}

#[test]
fn lists_are_sorted_by_text() {
    let urls = parse_urls(["http://b:1", " http://a:1", "http://b:1"]).unwrap();
    let texts: Vec<&str> = urls.iter().map(Url::as_str).collect();
    assert_eq!(texts, ["http://a:1", "http://b:1", "http://b:1"]);
    assert!(parse_urls(["http://b:1", ""]).is_err());
}

#[test]
fn ids_are_etcd_s_own() {
    // The ids that every etcd started without flags has.
    let alone = InitialCluster::parse("default=http://localhost:2380").unwrap();
    let members = alone.members("etcd-cluster").unwrap();
    assert_eq!(members[0].id.to_string(), "8e9e05c52164694d");
    assert_eq!(cluster_id(members.iter().map(|member| member.id)).to_string(), "cdf818194e3a8c32");
}

#[test]
fn ids_of_several_members_and_urls_are_etcd_s_own() {
    // Taken from the log of etcd 3.7.1 started with this list and token.
    let list = InitialCluster::parse("b=http://127.0.0.1:33801,b=http://127.0.0.1:33800,a=http://é:1").unwrap();
    let members = list.members("tok").unwrap();
    let ids: Vec<String> = members.iter().map(|member| format!("{}={}", member.name, member.id)).collect();
    assert_eq!(ids, ["b=6a8003372da949c4", "a=d3dbfccd503eaf12"]);
    assert_eq!(cluster_id(members.iter().map(|member| member.id)).to_string(), "42e07f81bd06a3d2");
}

#[test]
fn ids_do_not_depend_on_the_order_of_urls() {
    let forth = member_id(["http://a:1", "http://b:2"], "t", None);
    let back = member_id(["http://b:2", "http://a:1"], "t", None);
    assert_eq!(forth, back);
    assert_ne!(forth, member_id(["http://a:1", "http://b:2"], "u", None));
    assert_ne!(forth, member_id(["http://a:1", "http://b:2"], "t", Some(1_700_000_000)));
    assert_eq!(cluster_id([forth, MemberId(1)]), cluster_id([MemberId(1), forth]));
}

#[test]
fn a_member_list_is_read_and_printed() {
    let list = InitialCluster::parse("b=http://h:3,a=http://h:2,,a=http://h:1,").unwrap();
    assert_eq!(list.to_string(), "a=http://h:1,a=http://h:2,b=http://h:3");
    assert_eq!(list.member_count(), 2);
    assert_eq!(list.urls_of("a").map(<[Url]>::len), Some(2));
    assert_eq!(list.urls_of("c"), None);
    assert!(!list.has_double_url());
    let ids: Vec<MemberId> = list.members("t").unwrap().iter().map(|member| member.id).collect();
    assert!(ids.is_sorted() && ids.len() == 2);
}

#[test]
fn bad_member_lists_are_refused() {
    assert!(InitialCluster::parse("").unwrap().is_empty());
    assert_eq!(InitialCluster::parse("x").unwrap_err(), "URL scheme must be http, https, unix, or unixs: ");
    assert_eq!(InitialCluster::parse("x=foo").unwrap_err(), "URL scheme must be http, https, unix, or unixs: foo");
    assert!(InitialCluster::parse("a=http://h:1,b=http://h:1").unwrap().has_double_url());
    let twins = InitialCluster::parse("a=http://h:1,b=http://h:1").unwrap();
    assert!(twins.members("t").unwrap_err().starts_with("member exists with identical ID "));
}
