//! Accounts and transfers.

use std::sync::Arc;

use super::samples::{account, at, funding, money, pod_id, used, user_id};
use super::{accepted, at_once, conflict, invalid};
use crate::conformance::{Case, cases};
use crate::id::AccountId;
use crate::ledger::{heads, verify};
use crate::money::Money;
use crate::store::{
    AccountChange, Changes, Charge, LedgerFilter, LedgerQuery, LedgerRow, Link, Meter, MeterTotal,
    Store, Transfer, TransferQuery,
};

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        a_transfer_moves_money,
        a_transfer_between_customers,
        a_transfer_repeated_is_written_once,
        a_transfer_with_other_content_conflicts,
        a_transfer_of_nothing_is_invalid,
        transfers_come_newest_first_page_by_page,
        transfers_of_an_account_are_all_its_own,
        transfers_at_once_add_up,
        the_same_transfer_at_once_is_written_once,
        money_keeps_all_its_digits,
        more_money_than_there_is_room_for_is_invalid,
        a_touch_makes_and_raises_an_account,
        an_account_is_made_unlimited,
        accounts_of_the_platform_are_added_up,
        every_debit_has_its_credit,
        each_transfer_of_a_customer_is_chained,
        a_refused_commit_chains_nothing,
        the_ledger_is_read_row_by_row,
        the_ledger_proves_itself_amid_writes,
    ]
}

fn changes(transfers: impl IntoIterator<Item = Transfer>) -> Changes {
    Changes {
        transfers: transfers.into_iter().collect(),
        ..Changes::default()
    }
}

async fn posted(store: &Arc<dyn Store>, account: &AccountId) -> Money {
    let account = store.account(account).await.unwrap();
    account.map_or(Money::ZERO, |a| a.posted)
}

/// Every transfer of the account, page by page.
pub(super) async fn statement(
    store: &Arc<dyn Store>,
    account: &AccountId,
    limit: u32,
) -> Vec<Transfer> {
    let mut query = TransferQuery {
        account: account.clone(),
        after: None,
        limit,
    };
    let mut transfers = Vec::new();
    loop {
        let page = store.transfers(&query).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        transfers.extend(page.items);
        query.after = page.next;
        if query.after.is_none() {
            return transfers;
        }
    }
}

async fn a_transfer_moves_money(store: Arc<dyn Store>) {
    let transfer = Transfer {
        actor: Some(user_id(9)),
        ..funding("first", 1, money(5))
    };
    accepted(store.commit(&changes([transfer.clone()])).await);
    let row = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.posted, row.unlimited, row.version),
        (money(5), false, 1)
    );
    assert_eq!(statement(&store, &account(1), 10).await, [transfer]);
    accepted(
        store
            .commit(&changes([funding("second", 1, money(2))]))
            .await,
    );
    let row = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!((row.posted, row.version), (money(7), 2));
}

async fn a_transfer_between_customers(store: Arc<dyn Store>) {
    let transfer = Transfer {
        debit: account(2),
        ..funding("between", 1, money(3))
    };
    accepted(store.commit(&changes([transfer])).await);
    assert_eq!(posted(&store, &account(1)).await, money(3));
    assert_eq!(posted(&store, &account(2)).await, money(-3));
}

async fn a_transfer_repeated_is_written_once(store: Arc<dyn Store>) {
    let transfer = funding("again", 1, money(5));
    let later = Transfer {
        at: at(100),
        ..transfer.clone()
    };
    accepted(
        store
            .commit(&changes([transfer.clone(), later.clone()]))
            .await,
    );
    accepted(store.commit(&changes([later])).await);
    assert_eq!(posted(&store, &account(1)).await, money(5));
    assert_eq!(statement(&store, &account(1), 10).await, [transfer]);
}

async fn a_transfer_with_other_content_conflicts(store: Arc<dyn Store>) {
    let transfer = funding("again", 1, money(5));
    accepted(store.commit(&changes([transfer.clone()])).await);
    for other in [
        funding("again", 1, money(6)),
        funding("again", 2, money(5)),
        Transfer {
            debit: AccountId::from("grants"),
            ..transfer.clone()
        },
        Transfer {
            memo: "Something else".to_owned(),
            ..transfer.clone()
        },
        Transfer {
            actor: Some(user_id(1)),
            ..transfer.clone()
        },
    ] {
        let both = [funding("new", 1, money(1)), other.clone()];
        conflict(store.commit(&changes(both)).await);
        let twice = [
            Transfer {
                id: "fresh".to_owned(),
                ..transfer.clone()
            },
            Transfer {
                id: "fresh".to_owned(),
                ..other
            },
        ];
        conflict(store.commit(&changes(twice)).await);
    }
    assert_eq!(statement(&store, &account(1), 10).await, [transfer]);
    assert_eq!(posted(&store, &account(1)).await, money(5));
}

async fn a_transfer_of_nothing_is_invalid(store: Arc<dyn Store>) {
    let to_itself = Transfer {
        debit: account(1),
        ..funding("itself", 1, money(1))
    };
    let of_a_meter = Transfer {
        charge: Some(Charge {
            meter: Meter::Volume(pod_id(1)),
            used: used(0, 1),
        }),
        ..funding("charge", 1, money(1))
    };
    for transfer in [
        funding("nothing", 1, Money::ZERO),
        funding("less", 1, money(-1)),
        funding("least", 1, Money::from_micros(i64::MIN)),
        funding("meter/run", 1, money(1)),
        of_a_meter,
        to_itself,
    ] {
        invalid(store.commit(&changes([transfer])).await);
    }
    assert_eq!(store.account(&account(1)).await.unwrap(), None);
}

async fn transfers_come_newest_first_page_by_page(store: Arc<dyn Store>) {
    for n in 0..7_i64 {
        let transfer = Transfer {
            at: at(n as u64),
            ..funding(&format!("number {n}"), 1, money(n + 1))
        };
        let other = funding(&format!("other {n}"), 2, money(1));
        accepted(store.commit(&changes([transfer, other])).await);
    }
    let newest_first: Vec<_> = (1..=7).rev().map(money).collect();
    for limit in [1, 2, 3, 7, 100] {
        let amounts = statement(&store, &account(1), limit).await;
        let amounts: Vec<_> = amounts.iter().map(|t| t.amount).collect();
        assert_eq!(amounts, newest_first, "{limit}");
    }
    for (limit, after) in [(0, None), (1001, None), (1, Some("x")), (1, Some("-1"))] {
        let query = TransferQuery {
            account: account(1),
            after: after.map(str::to_owned),
            limit,
        };
        invalid(store.transfers(&query).await);
    }
}

async fn transfers_of_an_account_are_all_its_own(store: Arc<dyn Store>) {
    let spend = Transfer {
        debit: account(1),
        credit: AccountId::from("revenue"),
        ..funding("spend", 1, money(1))
    };
    let transfers = [
        funding("get", 1, money(3)),
        spend,
        funding("other", 2, money(1)),
    ];
    accepted(store.commit(&changes(transfers)).await);
    let ids = |transfers: Vec<Transfer>| transfers.into_iter().map(|t| t.id).collect::<Vec<_>>();
    assert_eq!(
        ids(statement(&store, &account(1), 10).await),
        ["spend", "get"]
    );
    let funding = AccountId::from("funding");
    assert_eq!(ids(statement(&store, &funding, 10).await), ["other", "get"]);
    assert_eq!(ids(statement(&store, &account(3), 10).await), [""; 0]);
}

async fn transfers_at_once_add_up(store: Arc<dyn Store>) {
    let one = |n: u64| changes([funding(&format!("{n}"), n % 2, money(1))]);
    for result in at_once(&store, (0..16).map(one).collect()).await {
        accepted(result);
    }
    for n in [0, 1] {
        let row = store.account(&account(n)).await.unwrap().unwrap();
        assert_eq!((row.posted, row.version), (money(8), 8));
        assert_eq!(statement(&store, &account(n), 3).await.len(), 8);
    }
}

async fn the_same_transfer_at_once_is_written_once(store: Arc<dyn Store>) {
    let transfer = changes([funding("once", 1, money(5))]);
    for result in at_once(&store, vec![transfer; 8]).await {
        accepted(result);
    }
    assert_eq!(posted(&store, &account(1)).await, money(5));
    let platform = Transfer {
        credit: AccountId::from("grants"),
        ..funding("platform", 1, money(5))
    };
    for result in at_once(&store, vec![changes([platform]); 8]).await {
        accepted(result);
    }
    assert_eq!(posted(&store, &AccountId::from("grants")).await, money(5));
}

async fn money_keeps_all_its_digits(store: Arc<dyn Store>) {
    let most = Money::from_micros(i64::MAX);
    accepted(store.commit(&changes([funding("most", 1, most)])).await);
    assert_eq!(posted(&store, &account(1)).await, most);
    assert_eq!(statement(&store, &account(1), 1).await[0].amount, most);
    let back = Transfer {
        debit: account(1),
        credit: AccountId::from("forfeited"),
        ..funding("back", 1, most)
    };
    let one = funding("one", 1, Money::from_micros(1));
    accepted(store.commit(&changes([back, one])).await);
    assert_eq!(posted(&store, &account(1)).await, Money::from_micros(1));
}

async fn more_money_than_there_is_room_for_is_invalid(store: Arc<dyn Store>) {
    let most = Money::from_micros(i64::MAX);
    accepted(store.commit(&changes([funding("most", 1, most)])).await);
    invalid(
        store
            .commit(&changes([funding("more", 1, Money::from_micros(1))]))
            .await,
    );
    assert_eq!(posted(&store, &account(1)).await, most);
    assert_eq!(statement(&store, &account(1), 10).await.len(), 1);
}

async fn a_touch_makes_and_raises_an_account(store: Arc<dyn Store>) {
    let touch = Changes {
        touch: vec![account(1), account(1), AccountId::from("grants")],
        ..Changes::default()
    };
    for version in 1..=3 {
        accepted(store.commit(&touch).await);
        let row = store.account(&account(1)).await.unwrap().unwrap();
        assert_eq!((row.posted, row.version), (Money::ZERO, version));
    }
    assert_eq!(
        store.account(&AccountId::from("grants")).await.unwrap(),
        None
    );
}

async fn an_account_is_made_unlimited(store: Arc<dyn Store>) {
    let set = |id, unlimited| Changes {
        accounts: vec![AccountChange { id, unlimited }],
        ..Changes::default()
    };
    accepted(store.commit(&set(account(1), true)).await);
    accepted(store.commit(&changes([funding("more", 1, money(1))])).await);
    let row = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.posted, row.unlimited, row.version),
        (money(1), true, 2)
    );
    accepted(store.commit(&set(account(1), false)).await);
    let row = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.posted, row.unlimited, row.version),
        (money(1), false, 3)
    );
    invalid(store.commit(&set(AccountId::from("revenue"), true)).await);
}

async fn accounts_of_the_platform_are_added_up(store: Arc<dyn Store>) {
    let back = Transfer {
        debit: account(1),
        credit: AccountId::from("funding"),
        ..funding("back", 1, money(2))
    };
    let transfers = [funding("a", 1, money(5)), funding("b", 2, money(7)), back];
    accepted(store.commit(&changes(transfers)).await);
    let funding = AccountId::from("funding");
    let row = store.account(&funding).await.unwrap().unwrap();
    assert_eq!(
        (row.posted, row.unlimited, row.version),
        (money(-10), true, 0)
    );
}

async fn each_transfer_of_a_customer_is_chained(store: Arc<dyn Store>) {
    let between = Transfer {
        debit: account(2),
        ..funding("between", 1, money(3))
    };
    let transfers = [funding("first", 1, money(5)), between];
    let granted = Transfer {
        credit: AccountId::from("grants"),
        ..funding("granted", 1, money(1))
    };
    accepted(store.commit(&changes(transfers.clone())).await);
    // The same again changes no chain; nor does what touches no customer.
    let again = transfers.clone().into_iter().chain([granted]);
    accepted(store.commit(&changes(again)).await);
    let mut head = Link::default();
    for transfer in &transfers {
        head = head.next(&account(1), Money::ZERO, transfer);
    }
    let row = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!((row.head, row.head.seq), (head, 2));
    let head = Link::default().next(&account(2), Money::ZERO, &transfers[1]);
    let row = store.account(&account(2)).await.unwrap().unwrap();
    assert_eq!(row.head, head);
    let row = store.account(&AccountId::from("grants")).await.unwrap();
    assert_eq!(row.unwrap().head, Link::default());
}

async fn a_refused_commit_chains_nothing(store: Arc<dyn Store>) {
    accepted(store.commit(&changes([funding("a", 1, money(1))])).await);
    let before = store.account(&account(1)).await.unwrap();
    let refused = [funding("b", 1, money(1)), funding("a", 1, money(2))];
    conflict(store.commit(&changes(refused)).await);
    assert_eq!(store.account(&account(1)).await.unwrap(), before);
}

async fn the_ledger_is_read_row_by_row(store: Arc<dyn Store>) {
    let meter = Meter::Volume(pod_id(1));
    let total = MeterTotal {
        meter,
        payer: account(2),
        total: money(1),
        last: true,
        at: at(1),
        used: used(0, 1),
    };
    let transfers = (0..5).map(|n| funding(&format!("t{n}"), 1, money(1)));
    let changes = Changes {
        meters: vec![total],
        ..changes(transfers)
    };
    accepted(store.commit(&changes).await);
    for limit in [1, 2, 1000] {
        let rows = ledger(&store, LedgerFilter::Account(account(1)), limit).await;
        let ids = rows.iter().map(|row| match row {
            LedgerRow::Transfer(booked) => (&*booked.transfer.id, booked.credit.map(|l| l.seq)),
            other => panic!("{other:?} is no transfer"),
        });
        let expected = [("t0", 1), ("t1", 2), ("t2", 3), ("t3", 4), ("t4", 5)];
        assert!(
            ids.eq(expected.map(|(id, seq)| (id, Some(seq)))),
            "{rows:?}"
        );
        let all = ledger(&store, LedgerFilter::Transfers, limit).await;
        assert_eq!(all.len(), 6);
        let mut accounts = Vec::new();
        for n in [1, 2] {
            let row = store.account(&account(n)).await.unwrap();
            accounts.extend(row.map(LedgerRow::Account));
        }
        accounts.sort_by_key(|row| format!("{row:?}"));
        let rows = ledger(&store, LedgerFilter::Accounts, limit).await;
        assert_eq!(rows, accounts);
        let posted = store.meters(&[meter]).await.unwrap()[0].unwrap();
        let rows = ledger(&store, LedgerFilter::Meters, limit).await;
        assert_eq!(rows, [LedgerRow::Meter(meter, posted)]);
    }
}

/// Every row, page by page.
async fn ledger(store: &Arc<dyn Store>, filter: LedgerFilter, limit: u32) -> Vec<LedgerRow> {
    let mut query = LedgerQuery {
        filter,
        after: None,
        limit,
    };
    let mut rows = Vec::new();
    loop {
        let page = store.ledger(&query).await.unwrap();
        rows.extend(page.items);
        query.after = page.next;
        if query.after.is_none() {
            return rows;
        }
    }
}

async fn the_ledger_proves_itself_amid_writes(store: Arc<dyn Store>) {
    let write = |n: u64| {
        let between = Transfer {
            debit: account(n % 3),
            ..funding(&format!("b{n}"), 3 + n % 2, money(1))
        };
        let total = |payer, total, last| MeterTotal {
            meter: Meter::Run(pod_id(n), 1),
            payer,
            total: money(total),
            last,
            at: at(n),
            used: used(0, n),
        };
        Changes {
            meters: vec![
                total(account(n % 3), 3, false),
                total(account(n % 3), 2, true),
            ],
            ..changes([funding(&format!("a{n}"), n % 3, money(9)), between])
        }
    };
    let writes = async {
        for n in 0..30 {
            accepted(store.commit(&write(n)).await);
        }
    };
    let proofs = async {
        for _ in 0..10 {
            let report = verify(&*store, None).await.unwrap();
            assert!(report.findings.is_empty(), "{report}");
        }
    };
    futures::join!(writes, proofs);
    let then = heads(&*store).await.unwrap();
    accepted(store.commit(&write(30)).await);
    let report = verify(&*store, Some(&then)).await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
    assert_eq!((report.accounts, report.transfers), (5, 31 * 4));
    assert_eq!((report.meters, report.unchained), (31, 0));
}

async fn every_debit_has_its_credit(store: Arc<dyn Store>) {
    let names = ["user:a", "user:b", "revenue", "funding", "grants"].map(AccountId::from);
    for n in 0..40_usize {
        let transfer = Transfer {
            debit: names[n % 5].clone(),
            credit: names[(n + 1 + n / 5 % 4) % 5].clone(),
            ..funding(&format!("{n}"), 1, Money::from_micros(n as i64 * 7 + 1))
        };
        accepted(store.commit(&changes([transfer])).await);
    }
    let mut sum = 0;
    for name in &names {
        sum += posted(&store, name).await.as_micros();
    }
    assert_eq!(sum, 0);
}
