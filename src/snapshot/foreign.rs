// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`ForeignClient`] encoded as XDR: in a snapshot, and in a file of its own while the daemon has
//! taken its lease over.

use crate::limits::{
    CLIENT_LINK_COUNT_MAX, KEEPER_LEN_MAX, PROCESS_TEXT_LEN_MAX, PROCESS_WORD_COUNT_MAX,
};
use crate::model::address::Family;
use crate::model::foreign::{
    ClientLinks, ClientProgram, CommandLine, ForeignClient, Leaving, LinkPatterns,
};
use crate::model::name::IfName;
use crate::snapshot::SnapshotError;
use crate::xdr::reader::Reader;
use crate::xdr::writer::Writer;

/// Appends a client. Which links one of all takes is not kept, but for those that it has let go of: its
/// configuration says it.
pub fn encode(writer: &mut Writer<'_>, client: &ForeignClient) {
    let ForeignClient { program, links, families, pid, keeper, leaving, command } = client;
    writer.string(program.name());
    let names = match links {
        ClientLinks::One(link) => std::slice::from_ref(link),
        ClientLinks::Several(links) => links.as_slice(),
        ClientLinks::All(_) => &[],
    };
    writer.count(names.len());
    names.iter().for_each(|name| writer.string(name.as_str()));
    writer.flag(*leaving == Leaving::Told);
    writer.count(client.let_go().len());
    client.let_go().iter().for_each(|name| writer.string(name.as_str()));
    for family in [Family::Ipv4, Family::Ipv6] {
        writer.flag(families.contains(&family));
    }
    writer.i32(*pid);
    writer.optional_string(keeper.as_deref());
    writer.opaque(&command.file);
    writer.opaque(&command.directory);
    for words in [&command.arguments, &command.environment] {
        writer.count(words.len());
        words.iter().for_each(|word| writer.opaque(word));
    }
}

/// Decodes a client.
///
/// # Errors
/// It is inconsistent.
pub fn decode(reader: &mut Reader<'_>) -> Result<ForeignClient, SnapshotError> {
    let name = reader.string("program", KEEPER_LEN_MAX)?;
    let program = ClientProgram::ALL.into_iter().find(|program| program.name() == name);
    let program = program.ok_or(SnapshotError::Content("program"))?;
    let names = decode_names(reader)?;
    let leaving = if reader.flag("leaving")? { Leaving::Told } else { Leaving::Ended };
    let let_go = decode_names(reader)?;
    let links = match names.as_slice() {
        [] => ClientLinks::All(LinkPatterns { let_go, ..LinkPatterns::default() }),
        [link] => ClientLinks::One(*link),
        _ => ClientLinks::Several(names),
    };
    let mut families = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        if reader.flag("family")? {
            families.push(family);
        }
    }
    let pid = reader.i32("pid")?;
    let keeper = reader.optional_string("keeper", KEEPER_LEN_MAX)?.map(|text| text.into_owned());
    let len_max = usize::try_from(PROCESS_TEXT_LEN_MAX).unwrap_or(usize::MAX);
    let file = reader.opaque("file", len_max)?.to_vec();
    let directory = reader.opaque("directory", len_max)?.to_vec();
    let mut words = || {
        let mut words = Vec::new();
        for _ in 0..reader.count("words", PROCESS_WORD_COUNT_MAX)? {
            words.push(reader.opaque("word", len_max)?.to_vec());
        }
        Ok::<_, SnapshotError>(words)
    };
    let (arguments, environment) = (words()?, words()?);
    let command = CommandLine { file, arguments, directory, environment };
    Ok(ForeignClient { program, links, families, pid, keeper, leaving, command })
}

fn decode_names(reader: &mut Reader<'_>) -> Result<Vec<IfName>, SnapshotError> {
    let mut names = Vec::new();
    for _ in 0..reader.count("links", CLIENT_LINK_COUNT_MAX)? {
        let name = reader.string("link", KEEPER_LEN_MAX)?;
        names.push(IfName::new(name.as_ref()).map_err(|_| SnapshotError::Content("link"))?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_read_as_it_was_written_or_not_at_all() {
        let link = |name: &str| IfName::new(name).unwrap();
        let several = ClientLinks::Several(vec![link("eth0"), link("eth1")]);
        let but_eth0 = ClientLinks::All(LinkPatterns {
            let_go: vec![link("eth0")],
            ..LinkPatterns::default()
        });
        let all = ClientLinks::All(LinkPatterns::default());
        for (links, leaving) in [
            (ClientLinks::One(link("eth0")), Leaving::Ended),
            (several, Leaving::Ended),
            (all, Leaving::Ended),
            (but_eth0, Leaving::Told),
        ] {
            let client = ForeignClient {
                program: ClientProgram::Udhcpc,
                links,
                families: vec![Family::Ipv6],
                pid: 42,
                keeper: Some("runsv".to_owned()),
                leaving,
                command: CommandLine {
                    file: b"/bin/busybox".to_vec(),
                    arguments: vec![b"udhcpc".to_vec(), b"\xff".to_vec()],
                    directory: b"/".to_vec(),
                    environment: vec![b"IF_METRIC=7".to_vec()],
                },
            };
            let mut bytes = Vec::new();
            encode(&mut Writer::new(&mut bytes), &client);
            assert_eq!(decode(&mut Reader::new(&bytes)), Ok(client));
            for len in 0..bytes.len() {
                assert!(decode(&mut Reader::new(&bytes[..len])).is_err(), "{len}");
            }
        }
    }
}
