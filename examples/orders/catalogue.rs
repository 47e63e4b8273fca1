//! The products of the shop.

/// A product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
}

/// All products, each ordered with the same probability.
pub(crate) const PRODUCTS: [Product; 10] = [
    product(1001, "Powder Skis", "Skis"),
    product(1002, "All-Mountain Skis", "Skis"),
    product(1003, "Freestyle Snowboard", "Snowboards"),
    product(1004, "Freeride Snowboard", "Snowboards"),
    product(1005, "Ski Boots", "Boots"),
    product(1006, "Snowboard Boots", "Boots"),
    product(1007, "Ski Poles", "Accessories"),
    product(1008, "Ski Goggles", "Accessories"),
    product(1009, "Snowboard Bindings", "Accessories"),
    product(1010, "Ski Helmet", "Accessories"),
];

const fn product(id: u32, name: &'static str, category: &'static str) -> Product {
    Product { id, name, category }
}
