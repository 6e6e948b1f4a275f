use super::*;
use crate::id::{Hash, UserId};
use crate::memory::MemoryStore;
use crate::money::Money;
use crate::store::{Changes, Posted, Tables};
use crate::time::Time;

fn me() -> AccountId {
    AccountId::from("user:me")
}

fn transfer(n: i64) -> Transfer {
    Transfer {
        id: format!("t{n}"),
        debit: AccountId::from("funding"),
        credit: me(),
        amount: Money::from_micros(n),
        memo: "memo".to_owned(),
        actor: Some(UserId::from_bytes([1; 12])),
        at: Time::from_micros(n),
        charge: None,
    }
}

/// An account with transfers 1 to `n`.
fn chain(n: i64) -> (Account, Vec<Booked>) {
    let mut tables = Tables::default();
    let changes = Changes {
        transfers: (1..=n).map(transfer).collect(),
        ..Changes::default()
    };
    let writes = tables.judge(&changes).unwrap();
    let booked = writes.transfers.clone();
    tables.apply(writes);
    (tables.accounts[&me()].clone(), booked)
}

/// What is found: the row's name, and the beginning of the message.
fn found(account: &Account, rows: &[Booked], since: Option<Link>) -> Vec<String> {
    let mut report = Report::default();
    let mut chain = Chain::of(account, since);
    rows.iter().for_each(|row| chain.add(row.clone()));
    chain.end(account.head.seq, &mut report);
    report.findings.iter().map(Finding::to_string).collect()
}

fn names(findings: &[String], what: &str) -> bool {
    matches!(findings, [one] if one.contains(what))
}

#[test]
fn a_whole_chain_has_nothing_wrong() {
    for n in [1, 2, 50] {
        let (account, mut rows) = chain(n);
        assert_eq!(account.head.seq, n as u64);
        assert_eq!(found(&account, &rows, None), [""; 0]);
        // Whichever order they are read in.
        rows.reverse();
        assert_eq!(found(&account, &rows, None), [""; 0]);
    }
}

#[test]
fn the_first_row_of_a_broken_chain_is_named() {
    let (account, rows) = chain(9);
    let wrong = |change: &dyn Fn(&mut Vec<Booked>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        found(&account, &rows, None)
    };
    let named = |findings: Vec<String>, what: &str| {
        assert!(names(&findings, what), "{what}: {findings:?}");
    };
    named(
        wrong(&|r| r[4].transfer.memo.push('!')),
        "transfer t5, of account user:me",
    );
    named(
        wrong(&|r| r[0].transfer.amount = Money::from_micros(2)),
        "transfer t1,",
    );
    named(wrong(&|r| r[8].transfer.at = Time::EPOCH), "transfer t9,");
    named(wrong(&|r| drop(r.remove(4))), "transfer t6,");
    named(
        wrong(&|r| drop(r.pop())),
        "account user:me has 9 transfers by its row",
    );
    named(
        wrong(&|r| r.push(r[3].clone())),
        "transfer t4, of account user:me, stands in the chain",
    );
    let swap = |r: &mut Vec<Booked>| {
        let (a, b) = (r[2].credit, r[5].credit);
        (r[2].credit, r[5].credit) = (b, a);
    };
    named(wrong(&swap), "transfer t6,");
    let other = Some(Link {
        seq: 7,
        hash: Hash::of(b"x"),
    });
    named(wrong(&|r| r[6].credit = other), "transfer t7,");
    named(
        wrong(&|r| r[6].credit = None),
        "transfer t7, of account user:me, has no place",
    );
    let more = |r: &mut Vec<Booked>| {
        let credit = Some(account.head.next(&me(), Money::ZERO, &transfer(10)));
        r.push(Booked {
            transfer: transfer(10),
            debit: None,
            credit,
        });
    };
    named(
        wrong(&more),
        "transfer t10, of account user:me, stands after the end",
    );
}

#[test]
fn the_row_of_an_account_is_named_if_it_differs_from_its_transfers() {
    let (account, rows) = chain(3);
    let other = Account {
        posted: Money::from_micros(7),
        ..account.clone()
    };
    assert!(names(
        &found(&other, &rows, None),
        "account user:me has another balance"
    ));
    let head = Link {
        hash: Hash::of(b"x"),
        ..account.head
    };
    let other = Account { head, ..account };
    assert!(names(
        &found(&other, &rows, None),
        "account user:me has another hash"
    ));
}

#[test]
fn a_chain_that_was_written_anew_differs_from_the_heads_that_were_taken() {
    let (account, rows) = chain(9);
    for seq in 1..=9 {
        let since = rows[seq - 1].credit;
        assert_eq!(found(&account, &rows, since), [""; 0]);
        let since = Some(Link {
            hash: Hash::of(b"x"),
            ..since.unwrap()
        });
        let found = found(&account, &rows, since);
        assert!(names(&found, &format!("transfer t{seq},")), "{found:?}");
    }
    let longer = chain(10).0.head;
    let found = found(&account, &rows, Some(longer));
    assert!(names(&found, "has 9 transfers, and had 10"), "{found:?}");
}

#[test]
fn what_an_account_had_before_its_chain_is_covered() {
    let (_, mut rows) = chain(4);
    let old = rows.split_off(2);
    let mut unchained = old.clone();
    unchained.iter_mut().for_each(|row| row.credit = None);
    // 3 and 4 come from before the chain, then 1 and 2.
    let mut account = Account {
        posted: Money::from_micros(7),
        ..Account::new(me())
    };
    for row in &mut rows {
        account.head = account.head.next(&me(), account.posted, &row.transfer);
        row.credit = Some(account.head);
    }
    account.posted = Money::from_micros(10);
    let all = [unchained.clone(), rows.clone()].concat();
    assert_eq!(found(&account, &all, None), [""; 0]);
    // With the row of the account changed to fit.
    unchained[0].transfer.amount = Money::from_micros(5);
    account.posted = Money::from_micros(12);
    let all = [unchained, rows].concat();
    assert!(names(&found(&account, &all, None), "transfer t1,"));
}

#[test]
fn heads_are_a_text() {
    let head = Link {
        seq: 12,
        hash: Hash::of(b"x"),
    };
    let odd = AccountId::from("user:with a space");
    let heads = Heads(BTreeMap::from([(me(), head), (odd, head)]));
    assert_eq!(heads.to_string().parse::<Heads>().unwrap(), heads);
    assert!("".parse::<Heads>().unwrap().0.is_empty());
    for bad in ["x", "1 2 user:me", "-1 x user:me", "1\n"] {
        let error = bad.parse::<Heads>().unwrap_err();
        assert!(error.message().starts_with("Line 1 "), "{error}");
    }
}

#[test]
fn meters_are_held_against_their_transfers() {
    let meter = Meter::Volume(PodId::from_bytes([1; 8]));
    let posted = |total| Posted {
        total: Money::from_micros(total),
        closed: false,
        until: None,
    };
    let spent = |id: &str, amount| Transfer {
        id: format!("meter/{meter}/{id}"),
        debit: me(),
        credit: AccountId::from("revenue"),
        ..transfer(amount)
    };
    let back = |amount| Transfer {
        debit: AccountId::from("revenue"),
        credit: me(),
        ..spent("last", amount)
    };
    let found = |row: Option<i64>, transfers: &[Transfer]| {
        let (mut tally, mut report) = (Tally::default(), Report::default());
        if let Some(total) = row {
            tally.posted(meter, posted(total));
        }
        transfers
            .iter()
            .for_each(|t| tally.transfer(t, &mut report));
        for meter in tally.unequal() {
            tally.report(meter, &mut report);
        }
        let found = report.findings.iter().map(Finding::to_string);
        found.collect::<Vec<_>>()
    };
    assert_eq!(found(Some(3), &[spent("5", 5), back(2)]), [""; 0]);
    assert!(names(
        &found(Some(4), &[spent("5", 5), back(2)]),
        "has another total"
    ));
    assert!(names(&found(None, &[spent("5", 5)]), "is gone"));
    let other = Transfer {
        debit: AccountId::from("user:x"),
        ..spent("8", 3)
    };
    assert!(names(
        &found(Some(8), &[spent("5", 5), other]),
        "has another payer"
    ));
    let gift = Transfer {
        credit: AccountId::from("user:x"),
        ..spent("8", 3)
    };
    assert!(names(
        &found(Some(5), &[spent("5", 5), gift]),
        "not between a payer and revenue"
    ));
    assert!(names(
        &found(
            Some(0),
            &[Transfer {
                id: "meter/x".to_owned(),
                ..spent("1", 1)
            }]
        ),
        "is not of the meter"
    ));
    assert!(names(&found(Some(-1), &[spent("1", -1)]), "moves nothing"));
}

#[tokio::test]
async fn an_account_that_heads_name_and_nobody_has_is_gone() {
    let store = MemoryStore::new();
    let changes = Changes {
        transfers: vec![transfer(1)],
        ..Changes::default()
    };
    store.commit(&changes).await.unwrap();
    let heads = heads(&store).await.unwrap();
    assert!(
        verify(&store, Some(&heads))
            .await
            .unwrap()
            .findings
            .is_empty()
    );
    let empty = MemoryStore::new();
    let report = verify(&empty, Some(&heads)).await.unwrap().to_string();
    assert!(
        report.starts_with("account user:me is gone, with the 1 transfers"),
        "{report}"
    );
}
