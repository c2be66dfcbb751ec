// SPDX-License-Identifier: LGPL-2.1-or-later
//! Each message and its bytes, and the names that no message may have.

use super::*;

fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

fn requests() -> Vec<Request> {
    let (id, time_max) = (ProgramId(7), Some(Duration::from_millis(1500)));
    let lease = |wanted, like| Lease {
        link: name("br0"),
        family: Family::Ipv4,
        name_servers: NameServers::Left,
        wanted,
        like,
    };
    let v4 = IpPrefix::new(IpAddr::from([192, 0, 2, 5]), 24);
    let v6 = IpPrefix::new("2001:db8::5".parse().unwrap(), 64);
    let part = HookScript::Part(FileName::new(b"10 \xff").unwrap());
    let programs = [
        Program::Hook { script: HookScript::Daemon, occasion: Occasion::Start },
        Program::Hook { script: part.clone(), occasion: Occasion::Reload },
        Program::Hook { script: part, occasion: Occasion::Shutdown },
        Program::DhcpClient { client: ClientProgram::Udhcpc, lease: lease(None, None) },
        Program::DhcpClient { client: ClientProgram::Dhcpcd, lease: lease(v4, None) },
        Program::DhcpClient { client: ClientProgram::Dhclient, lease: lease(v6, Some(name("e"))) },
        Program::ForeignClient { link: name("eth0"), family: Family::Ipv6 },
        Program::LeaseEnd { link: name("eth0"), family: Family::Ipv4 },
        Program::Standby { deadline: Duration::from_secs(90) },
        Program::FileCheck { dialect: Dialect::BusyBox },
    ];
    let starts = programs.into_iter().flat_map(|program| {
        [None, time_max].map(|time_max| Request::Start { id, program: program.clone(), time_max })
    });
    let others = [Request::Terminate, Request::KillGroup, Request::Dismiss, Request::Forget];
    starts.chain(others.map(|request| request(id))).collect()
}

#[test]
fn each_request_is_decoded_as_it_was_encoded_and_not_before_it_is_whole() {
    for request in requests() {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let mut arrived = Vec::new();
        for byte in &bytes {
            assert_eq!(take(&mut arrived), Ok(None), "{request:?}");
            arrived.push(*byte);
        }
        arrived.extend(b"next");
        let message = take(&mut arrived).unwrap().unwrap();
        assert_eq!(arrived, b"next");
        assert_eq!(Request::decode(&message), Ok(request));
        for len in 0..message.len() {
            assert!(Request::decode(&message[..len]).is_err(), "{len}");
        }
    }
}

#[test]
fn each_report_is_decoded_as_it_was_encoded() {
    let id = ProgramId(u32::MAX);
    for report in [
        Report::Started { id, pid: 4711 },
        Report::Refused { id, errno: libc::ENOENT },
        Report::Ended { id, status: -1 },
        Report::Overdue { id },
    ] {
        let mut bytes = Vec::new();
        report.encode(&mut bytes);
        let message = take(&mut bytes).unwrap().unwrap();
        assert_eq!((Report::decode(&message), bytes.len()), (Ok(report), 0));
    }
    assert_eq!(Report::decode(&[0, 0, 0, 9].repeat(3)), Err(MessageError::Content("report")));
}

#[test]
fn a_message_that_is_too_long_is_refused_before_it_has_arrived() {
    let len = u32::try_from(EXECUTION_MESSAGE_LEN_MAX).unwrap();
    assert_eq!(take(&mut len.to_be_bytes().to_vec()), Ok(None));
    assert!(take(&mut (len + 1).to_be_bytes().to_vec()).is_err());
}

#[test]
fn the_name_of_a_script_is_that_of_a_file_in_its_directory() {
    let longest = [b'x'; FILE_NAME_LEN_MAX];
    for name in [&b"a"[..], b"...", b"-x", b" ", b"\xff", &longest] {
        assert!(FileName::new(name).is_some(), "{name:?}");
    }
    let longer = [b'x'; FILE_NAME_LEN_MAX + 1];
    for name in [&b""[..], b".", b"..", b"/", b"../x", b"a/b", b"a\0", &longer] {
        assert!(FileName::new(name).is_none(), "{name:?}");
    }
}

#[test]
fn a_request_with_a_name_or_number_that_is_not_allowed_is_refused() {
    let refusal = |kind: u32, texts: &[&str], number: u32| {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        [0, 7, kind].iter().for_each(|word| writer.u32(*word));
        texts.iter().for_each(|text| writer.string(text));
        [number, 0, 0, 0, 0].iter().for_each(|word| writer.u32(*word));
        Request::decode(&bytes).map_err(|err| err.to_string())
    };
    for (kind, texts, number, field) in [
        (99, &[][..], 0, "program"),
        (0, &["../daemon"], 0, "script"),
        (0, &[""], 3, "occasion"),
        (1, &["sh"], 0, "client"),
        (1, &["dhcpcd", "a/b"], 0, "link"),
        (2, &["sixteen_letters_"], 0, "link"),
        (3, &[".."], 0, "link"),
        (2, &["a\0b"], 0, "link"),
    ] {
        let want = Err(format!("{field}: a value that is not allowed"));
        assert_eq!(refusal(kind, texts, number), want, "{texts:?}");
    }
}
