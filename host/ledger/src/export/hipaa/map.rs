//! The map: paragraphs of 45 CFR 164, what each asks for, which records show something of it, and what no record can.

use std::borrow::Cow;

use grille_policy::SessionId;
use serde::Serialize;

use super::super::pages::time;
use super::tally::Tally;
use super::tally::Topic::{self, *};

/// Samples per paragraph.
const SAMPLES_MAX: usize = 6;

pub(super) struct Row {
    citation: &'static str,
    standard: &'static str,
    /// `standard`, `R` or `A`.
    kind: &'static str,
    asks: &'static str,
    shows: &'static [(Topic, &'static str)],
    /// What has to come from elsewhere.
    beyond: &'static [&'static str],
}

#[derive(Serialize)]
pub(super) struct Citation {
    pub(super) citation: &'static str,
    pub(super) standard: &'static str,
    pub(super) kind: &'static str,
    pub(super) asks: &'static str,
    pub(super) artefacts: Vec<Artefact>,
    pub(super) samples: Vec<Shown>,
    pub(super) gaps: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Artefact {
    pub(super) what: Cow<'static, str>,
    pub(super) count: u64,
}

#[derive(Serialize)]
pub(super) struct Shown {
    pub(super) record: u64,
    pub(super) time: String,
    #[serde(skip)]
    pub(super) at: u64,
    pub(super) session: SessionId,
    pub(super) what: String,
}

impl Citation {
    pub(super) fn mark(&self) -> String {
        if self.kind == "standard" { String::new() } else { format!(" ({})", self.kind) }
    }
}

impl Row {
    pub(super) fn cite(&self, tally: &Tally) -> Citation {
        let artefact =
            |(topic, what): &(Topic, &'static str)| Artefact { what: (*what).into(), count: tally.count(*topic) };
        let mut artefacts: Vec<Artefact> = self.shows.iter().map(artefact).collect();
        if self.citation == DOCUMENTATION {
            artefacts.extend(tally.classes.artefacts());
        }
        let mut samples = Vec::new();
        // One of each sort before a second one of any.
        for nth in 0..SAMPLES_MAX {
            for (topic, _) in self.shows {
                let found = tally.samples.get(topic).and_then(|samples| samples.get(nth));
                samples.extend(found.filter(|_| samples.len() < SAMPLES_MAX).map(|one| Shown {
                    record: one.record,
                    time: time(one.at),
                    at: one.at,
                    session: one.session,
                    what: one.what.clone(),
                }));
            }
        }
        let gap = |(topic, what): &(Topic, &str)| match (tally.count(*topic), topic.is_trouble()) {
            (0, false) => Some(format!("none in this period: {what}")),
            (count, true) if count > 0 => Some(format!("to be explained: {count} {what}")),
            _ => None,
        };
        let mut gaps: Vec<String> = self.shows.iter().filter_map(gap).collect();
        if self.citation == DOCUMENTATION {
            gaps.extend(tally.classes.gaps());
        }
        gaps.extend(self.beyond.iter().map(|gap| (*gap).to_owned()));
        let Self { citation, standard, kind, asks, .. } = *self;
        Citation { citation, standard, kind, asks, artefacts, samples, gaps }
    }
}

/// Where how long what is kept is told by class.
const DOCUMENTATION: &str = "164.316(b)(1), (2)(i)";

pub(super) const MAP: &[Row] = &[
    Row {
        citation: "164.312(a)(1)",
        standard: "Access control",
        kind: "standard",
        asks: "Access only for persons or software programs that were granted rights.",
        shows: &[
            (Sessions, "sessions, each with its person, roles and target"),
            (AgentSessions, "sessions in which a software program acted for a person"),
            (Roles, "distinct roles in use"),
            (Targets, "distinct targets reached"),
            (Refused, "operations refused"),
            (Warnings, "warnings of logins to a target that may do more than any role"),
        ],
        beyond: &[
            "which groups mean which roles stands in grille.toml; who is in which group, with the identity provider",
        ],
    },
    Row {
        citation: "164.312(a)(2)(i)",
        standard: "Unique user identification",
        kind: "R",
        asks: "A unique name or number for each user.",
        shows: &[(People, "distinct people, by issuer and subject"), (Agents, "distinct agents")],
        beyond: &["that one subject is one person, the identity provider has to show"],
    },
    Row {
        citation: "164.312(a)(2)(ii)",
        standard: "Emergency access procedure",
        kind: "R",
        asks: "A procedure for getting at necessary records in an emergency.",
        shows: &[
            (Approved, "requests that a reviewer approved"),
            (Justified, "operations with the caller's own reason"),
        ],
        beyond: &[
            "Grille has no break-glass grant of its own: an emergency goes through a review",
            "the written procedure, and the last drill of it",
        ],
    },
    Row {
        citation: "164.312(a)(2)(iii)",
        standard: "Automatic logoff",
        kind: "A",
        asks: "Sessions end after a time of inactivity.",
        shows: &[
            (Idle, "sessions ended for idling"),
            (Expired, "sessions ended with their token"),
            (Closed, "sessions with an end of their own"),
        ],
        beyond: &["the limits in force stand in grille.toml; workstations lock by other means"],
    },
    Row {
        citation: "164.312(a)(2)(iv)",
        standard: "Encryption and decryption",
        kind: "A",
        asks: "Stored protected information is encrypted.",
        shows: &[
            (Sessions, "sessions whose recordings are sealed, each under a key of its own (AES-256-GCM)"),
            (Shreds, "sessions whose contents were destroyed on purpose, with person and reason"),
            (Destroyed, "records whose key was destroyed or is not the exporter's"),
        ],
        beyond: &["the target's own storage and backups; where the seal key is kept and who reaches it"],
    },
    Row {
        citation: "164.312(b)",
        standard: "Audit controls",
        kind: "standard",
        asks: "Activity in systems with protected information is recorded and examined.",
        shows: &[
            (Sessions, "sessions recorded"),
            (Allowed, "operations allowed"),
            (Held, "operations held for people"),
            (Refused, "operations refused"),
            (Denied, "callers turned away"),
            (Looks, "looks at sessions and decisions"),
            (Searches, "searches"),
            (Replays, "replays"),
            (Exports, "exports"),
            (Acts, "acts of operators"),
        ],
        beyond: &[
            "whoever reaches a target without this gateway is not in here: show the network rule that prevents it",
        ],
    },
    Row {
        citation: "164.312(c)(1), (2)",
        standard: "Integrity",
        kind: "A",
        asks: "Information is not altered or destroyed improperly, and a mechanism tells.",
        shows: &[
            (Recovered, "torn tails after a crash, cut and kept"),
            (Gaps, "logs that were followed by another, with the reason"),
            (ClockSteps, "steps of the machine's clock"),
            (Early, "sessions whose contents were destroyed before the end of their retention"),
        ],
        beyond: &[
            "run the verifier on this bundle and on a copy with one byte changed: the first holds, the second is named",
            "the integrity of the records in the target itself",
        ],
    },
    Row {
        citation: "164.312(d)",
        standard: "Person or entity authentication",
        kind: "standard",
        asks: "Whoever seeks access is who they claim to be.",
        shows: &[
            (Sessions, "sessions opened with a token of the identity provider"),
            (SecondFactor, "of these, with a second factor by the token's `amr`"),
            (Denied, "callers turned away"),
            (IssuerKeys, "times that an issuer's keys were taken into use, by their thumbprints"),
            (IssuerAway, "times that an issuer gave no keys"),
        ],
        beyond: &[
            "a provider that writes no `amr` into its tokens shows no second factor here, whether there was one or not",
        ],
    },
    Row {
        citation: "164.312(e)(1), (2)",
        standard: "Transmission security",
        kind: "A",
        asks: "Information is protected on its way over networks.",
        shows: &[(Encrypted, "sessions with TLS between caller and gateway"), (Plain, "sessions without TLS")],
        beyond: &["TLS between gateway and target stands in grille.toml; other ways into the network take a scan"],
    },
    Row {
        citation: "164.308(a)(1)(ii)(D)",
        standard: "Information system activity review",
        kind: "R",
        asks: "Records of activity are reviewed regularly.",
        shows: &[
            (Looks, "looks at sessions and decisions"),
            (Searches, "searches"),
            (Replays, "replays"),
            (Exports, "exports"),
        ],
        beyond: &["that a look was the regular review, and what followed from it, the reviewer has to write down"],
    },
    Row {
        citation: "164.308(a)(3), (4)",
        standard: "Workforce security, access management",
        kind: "A",
        asks: "Access is authorised, changed and ended as people come, change and go.",
        shows: &[
            (Changes, "changes of the configuration"),
            (Sets, "policy sets put in force"),
            (Weaker, "changes after which something protects less, named as such"),
            (Killed, "sessions ended by an operator"),
        ],
        beyond: &["who joined and left, and when, stands with the identity provider and with personnel"],
    },
    Row {
        citation: "164.308(a)(5)(ii)(C)",
        standard: "Log-in monitoring",
        kind: "A",
        asks: "Log-in attempts are watched and discrepancies reported.",
        shows: &[(Denied, "callers turned away"), (Sessions, "sessions opened")],
        beyond: &["failed log-ins at the identity provider never reach this gateway"],
    },
    Row {
        citation: "164.308(a)(6)",
        standard: "Security incidents",
        kind: "R",
        asks: "Incidents are answered, mitigated and documented.",
        shows: &[
            (Refused, "operations refused"),
            (Killed, "sessions ended by an operator"),
            (Exports, "exports of evidence"),
        ],
        beyond: &["what was an incident, and what was done about it, people have to write down"],
    },
    Row {
        citation: "164.308(a)(7)",
        standard: "Contingency plan",
        kind: "R",
        asks: "Backup, recovery and emergency operation.",
        shows: &[
            (Starts, "starts of the node"),
            (Lost, "sessions that ended with their node"),
            (Recovered, "recoveries"),
        ],
        beyond: &["a restore of this log that was tried, with its date and duration"],
    },
    Row {
        citation: "164.308(a)(8)",
        standard: "Evaluation",
        kind: "standard",
        asks: "Periodic evaluation, also after changes.",
        shows: &[(Sets, "policy sets put in force"), (Changes, "changes of the configuration")],
        beyond: &["the evaluation itself; `grille policy test` and re-run decisions can be a part of it"],
    },
    Row {
        citation: "164.308(b)",
        standard: "Business associates",
        kind: "standard",
        asks: "Contracts with those who handle protected information for others.",
        shows: &[],
        beyond: &["Grille is run by yourself and calls nobody: no record of it stands for a contract"],
    },
    Row {
        citation: DOCUMENTATION,
        standard: "Documentation, six years",
        kind: "R",
        asks: "Policies and procedures in writing, kept for six years.",
        shows: &[
            (Sets, "policy sets with every component and its settings, by digest"),
            (Changes, "changes of the configuration"),
            (Holds, "legal holds that were put or lifted"),
        ],
        beyond: &[
            "the rule speaks of documentation, not of every line of a log",
            "leaves, proofs and the node's own records are not destroyed; whether the disks and the archive still have them, \
             `grille ledger verify` shows",
        ],
    },
    Row {
        citation: "164.502(b)",
        standard: "Minimum necessary",
        kind: "standard",
        asks: "Only what a purpose needs is used or disclosed.",
        shows: &[
            (Masked, "sessions in which columns were protected"),
            (Unmasked, "sessions in which no policy protected columns"),
            (Values, "values masked on their way to a caller"),
        ],
        beyond: &["what a purpose needs is your decision; masks follow it, they do not make it"],
    },
];
