//! The generated rows: ranges, rates and columns.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{CUSTOMERS, SEED, customers, generator, now};
use crate::catalogue::PRODUCTS;
use crate::customer_rows::CustomerRows;
use crate::customers::{Customers, Segment};
use crate::generator::Generator;
use crate::model::Customer;
use crate::money::Money;
use crate::rows::Rows as _;

const ORDERS: u64 = 30_000;

/// The documented values of a segment, in dollars and percent. Ranges include both ends.
struct Expected {
    amount: (u64, u64),
    discounted: f64,
    discount: (u64, u64),
    items: (u64, u64),
    mean_items: f64,
    quantity: (u64, u64),
    unit_price: (u64, u64),
}

fn expected(segment: Segment) -> Expected {
    match segment {
        Segment::Premium => Expected {
            amount: (500, 3_000),
            discounted: 0.10,
            discount: (5, 10),
            items: (3, 8),
            mean_items: 5.5,
            quantity: (2, 5),
            unit_price: (150, 500),
        },
        Segment::Standard => Expected {
            amount: (100, 800),
            discounted: 0.40,
            discount: (5, 20),
            items: (2, 5),
            mean_items: 3.5,
            quantity: (1, 3),
            unit_price: (50, 250),
        },
        Segment::Basic => Expected {
            amount: (20, 300),
            discounted: 0.50,
            discount: (10, 30),
            items: (1, 3),
            mean_items: 2.0,
            quantity: (1, 2),
            unit_price: (10, 100),
        },
    }
}

fn assert_within(value: u64, (low, high): (u64, u64)) {
    assert!(
        (low..=high).contains(&value),
        "{value} is not in {low}..={high}"
    );
}

fn assert_money(amount: Money, (low, high): (u64, u64)) {
    assert_within(amount.cents, (low * 100, high * 100));
}

fn assert_near(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found}, not {expected}"
    );
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn share(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}

#[test]
fn orders_and_items_follow_the_rules_of_the_segment() {
    let (generator, customers) = (generator(0), customers());
    let mut orders: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut statuses: BTreeMap<_, usize> = BTreeMap::new();
    let mut products: BTreeMap<_, usize> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for number in 1..=ORDERS {
        let order = generator.order(number);
        let segment = customers.segment(order.customer_id);
        let rules = expected(segment);
        assert_within(order.customer_id, (1, CUSTOMERS));
        assert_money(order.total_amount, rules.amount);
        assert_money(order.shipping_cost, (5, 50));
        if order.discount_percent > 0 {
            assert_within(order.discount_percent, rules.discount);
        }
        let ago = now().duration_since(order.order_date).as_secs();
        assert!((86_400..366 * 86_400).contains(&ago), "{ago}");
        *statuses.entry(order.order_status).or_default() += 1;
        assert!(ids.insert(order.order_id));

        let items: Vec<_> = generator.items(number).collect();
        assert_eq!(items.len() as u64, generator.items_of(number));
        assert_within(items.len() as u64, rules.items);
        for item in &items {
            assert_eq!(item.order_id, order.order_id);
            assert_within(item.quantity, rules.quantity);
            assert_money(item.unit_price, rules.unit_price);
            assert_eq!(item.line_total.cents, item.unit_price.cents * item.quantity);
            let name = (item.product_name, item.product_category);
            *products.entry((item.product_id, name)).or_default() += 1;
            assert!(ids.insert(item.order_item_id));
            assert_eq!(item.order_item_id.get_version_num(), 4);
        }
        orders
            .entry(segment)
            .or_default()
            .push((order, items.len()));
    }

    for (segment, orders) in &orders {
        let rules = expected(*segment);
        let discounted = orders
            .iter()
            .filter(|(order, _)| order.discount_percent > 0);
        let rate = share(discounted.count(), orders.len());
        assert_near(rate, rules.discounted, 0.015, "discounts");
        let items: usize = orders.iter().map(|(_, items)| items).sum();
        assert_near(share(items, orders.len()), rules.mean_items, 0.05, "items");
        assert_near(share(orders.len(), 30_000), 1.0 / 3.0, 0.03, "segments");
    }
    let mix = [
        ("Completed", 0.65),
        ("Shipped", 0.15),
        ("Processing", 0.10),
        ("Pending", 0.07),
        ("Cancelled", 0.03),
    ];
    assert_eq!(statuses.len(), mix.len());
    for (status, rate) in mix {
        assert_near(share(statuses[status], 30_000), rate, 0.01, status);
    }
    let sold: usize = products.values().sum();
    let catalogue = PRODUCTS.map(|product| (product.id, (product.name, product.category)));
    assert!(products.keys().eq(&catalogue));
    for count in products.values() {
        assert_near(share(*count, sold), 0.1, 0.005, "products");
    }
}

#[test]
fn an_order_depends_only_on_seed_instance_and_number() {
    let one = generator(1);
    assert_eq!(one.order(777), generator(1).order(777));
    assert!(one.items(777).eq(generator(1).items(777)));
    let ids = [
        one.order(777).order_id,
        one.order(778).order_id,
        generator(2).order(777).order_id,
        Generator::new(SEED + 1, Some(1), customers(), 1..=CUSTOMERS, now())
            .order(777)
            .order_id,
    ];
    assert_eq!(BTreeSet::from(ids).len(), 4);
    assert_eq!(Customers::generate(SEED, 50), Customers::generate(SEED, 50));
    assert_ne!(
        Customers::generate(SEED, 50),
        Customers::generate(SEED + 1, 50)
    );
}

#[test]
fn a_customer_depends_only_on_seed_and_number_and_has_the_segment_of_the_orders() {
    let rows = |seed, first, last| CustomerRows::new(seed, customers(), first..=last, now());
    let all: Vec<_> = rows(SEED, 1, CUSTOMERS)
        .from(1)
        .map(|(_, customer)| customer)
        .collect();
    assert_eq!(all.len() as u64, CUSTOMERS);
    let some: Vec<_> = rows(SEED, 11, 20)
        .from(4)
        .map(|(_, customer)| customer)
        .collect();
    assert_eq!(some, all[13..20]);
    assert_ne!(rows(SEED + 1, 1, 1).from(1).next().unwrap().1, all[0]);
    for (customer, id) in all.iter().zip(1..) {
        assert_eq!(
            (customer.customer_id, customer.email.as_str()),
            (id, format!("customer{id}@email.com").as_str())
        );
        assert_eq!(customer.customer_segment, customers().segment(id));
        assert!((10_000..=99_999).contains(&customer.zip_code));
        let days = (now().date() - customer.registration_date).get_days();
        assert!((1..=1_825).contains(&days), "{days}");
        assert_eq!((customer.phone.len(), customer.state.len()), (12, 2));
    }
    let distinct =
        |of: fn(&Customer) -> &'static str| all.iter().map(of).collect::<BTreeSet<_>>().len();
    let counts = [
        distinct(|customer| customer.first_name),
        distinct(|customer| customer.last_name),
        distinct(|customer| customer.city),
        distinct(|customer| customer.state),
    ];
    assert_eq!(counts, [20, 20, 15, 10]);
    assert_eq!(rows(SEED, 1, 0).last(), 0);
}

#[test]
fn a_row_is_an_object_with_the_columns_of_its_table() {
    let keys = |row: &Value| {
        row.as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut order = serde_json::to_value(generator(0).order(1)).unwrap();
    assert_eq!(
        keys(&order),
        "CUSTOMER_ID DISCOUNT_PERCENT ORDER_DATE ORDER_ID ORDER_STATUS SHIPPING_COST TOTAL_AMOUNT"
    );
    let date = order["ORDER_DATE"].take();
    assert_eq!(
        date.as_str()
            .map(|text| (text.len(), &text[..2], &text[10..11])),
        Some((19, "20", " "))
    );
    assert_eq!(order["ORDER_ID"].as_str().map(str::len), Some(36));
    let customer = CustomerRows::new(SEED, customers(), 1..=1, now())
        .from(1)
        .next()
        .unwrap()
        .1;
    let customer = serde_json::to_value(customer).unwrap();
    assert_eq!(
        keys(&customer),
        "ADDRESS CITY CUSTOMER_ID CUSTOMER_SEGMENT EMAIL FIRST_NAME LAST_NAME PHONE REGISTRATION_DATE STATE ZIP_CODE"
    );
    assert_eq!(
        customer["REGISTRATION_DATE"].as_str().map(str::len),
        Some(10)
    );
    assert!(customer["ZIP_CODE"].is_string());
    let item = serde_json::to_value(generator(0).items(1).next().unwrap()).unwrap();
    assert_eq!(
        keys(&item),
        "LINE_TOTAL ORDER_ID ORDER_ITEM_ID PRODUCT_CATEGORY PRODUCT_ID PRODUCT_NAME QUANTITY UNIT_PRICE"
    );
}

#[test]
fn money_has_two_decimals_and_half_a_cent_is_rounded_up() {
    for (micros, shown) in [
        (1_004_999, json!(1.0)),
        (1_005_000, json!(1.01)),
        (2_675_000, json!(2.68)),
        (499_999_999, json!(500.0)),
        (123_454_999, json!(123.45)),
        (0, json!(0.0)),
    ] {
        let amount = Money::half_up(micros);
        assert_eq!(serde_json::to_value(amount).unwrap(), shown, "{micros}");
    }
    assert_eq!(
        serde_json::to_value(Money::half_up(70_070_000).times(3)).unwrap(),
        json!(210.21)
    );
    assert_eq!(
        serde_json::to_string(&Money::half_up(1_234_560_000)).unwrap(),
        "1234.56"
    );
}
