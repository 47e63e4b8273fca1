//! The five resorts: their popularity, prices, time zones and lifts.

use serde::{Deserialize, Serialize};

/// A resort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Resort {
    Vail,
    BeaverCreek,
    Breckenridge,
    Keystone,
    Heavenly,
}

/// The time zone of a resort's opening hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Mountain,
    Pacific,
}

/// The facts about a resort.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) name: &'static str,
    pub(crate) zone: Zone,
    /// The price of a day on weekdays, in US dollars.
    pub(crate) base_usd: u64,
    /// The factor for Saturdays and Sundays, in tenths.
    pub(crate) weekend_tenths: u64,
    /// From the main lifts to the carpets: the position in the list represents the difficulty.
    pub(crate) lifts: &'static [&'static str],
}

impl Resort {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] = [
        Self::Vail,
        Self::BeaverCreek,
        Self::Breckenridge,
        Self::Keystone,
        Self::Heavenly,
    ];

    /// The shares of the visitors, in percent; the rest goes to [`Resort::OTHERWISE`].
    pub(crate) const POPULARITY: [(u64, Self); 4] = [
        (25, Self::Vail),
        (20, Self::BeaverCreek),
        (25, Self::Breckenridge),
        (20, Self::Keystone),
    ];

    /// The resort of the remaining ten percent.
    pub(crate) const OTHERWISE: Self = Self::Heavenly;

    /// The facts about the resort.
    pub(crate) fn facts(self) -> &'static Facts {
        match self {
            Self::Vail => &VAIL,
            Self::BeaverCreek => &BEAVER_CREEK,
            Self::Breckenridge => &BRECKENRIDGE,
            Self::Keystone => &KEYSTONE,
            Self::Heavenly => &HEAVENLY,
        }
    }
}

static VAIL: Facts = Facts {
    name: "Vail",
    zone: Zone::Mountain,
    base_usd: 120,
    weekend_tenths: 16,
    // "Golden Peak" is in the list twice and is therefore drawn twice as often.
    lifts: &[
        "Eagle Bahn Gondola",
        "Gondola One",
        "Game Creek Express",
        "Northwoods Express",
        "Avanti Express",
        "Mountain Top Express",
        "Sun Down Express",
        "Sun Up Express",
        "High Noon Express",
        "Sourdough Express",
        "Highline Express",
        "Pete's Express",
        "Tea Cup Express",
        "Skyline Express",
        "Earl's Express",
        "Riva Bahn Express",
        "Wildwood Express",
        "Pride Express",
        "Born Free Express",
        "Orient Express",
        "Cascade Village",
        "Golden Peak",
        "Little Eagle",
        "Golden Peak",
        "Wapiti",
        "Mongolia",
        "Black Forest",
        "Elvis Bahn",
        "Rip's Ride Carpet",
        "Adventure Ridge",
        "Thunder Cat Carpet",
        "Golden Peak Carpet",
        "Lightning Coyote",
        "Lionshead Magic Carpet",
    ],
};

static BEAVER_CREEK: Facts = Facts {
    name: "Beaver Creek",
    zone: Zone::Mountain,
    base_usd: 110,
    weekend_tenths: 15,
    lifts: &[
        "Haymeadow Express Gondola",
        "Riverfront Express",
        "Centennial Express",
        "McCoy Park Express Chairlift",
        "Red Buffalo Express 5",
        "Rose Bowl Express",
        "Larkspur Express",
        "Lower Beaver Creek Mountain Express",
        "Upper Beaver Creek Mountain Express",
        "Birds of Prey Express",
        "Cinch Express",
        "Bachelor Gulch Express",
        "Strawberry Park Express",
        "Grouse Mountain Express",
        "Arrow Bahn Express",
        "Reunion Chairlift",
        "Elkhorn",
        "Highlands",
        "Magic Carpet Beaver Creek",
        "Ritz Bahn",
        "Wagon Train",
        "Jitterbug",
        "Bibber Bahn",
        "Trail Rider",
        "Snowflake",
    ],
};

static BRECKENRIDGE: Facts = Facts {
    name: "Breckenridge",
    zone: Zone::Mountain,
    base_usd: 100,
    weekend_tenths: 17,
    lifts: &[
        "BreckConnect Gondola",
        "Falcon SuperChair",
        "Colorado SuperChair",
        "Kensho SuperChair",
        "Independance SuperChair",
        "QuickSilver Super 6",
        "Five SuperChair",
        "Rip's Ride",
        "Freedom SuperChair",
        "Imperial Express SuperChair",
        "Peak 8 Super Connect",
        "Mercury SuperChair",
        "Rocky Mountain SuperChair",
        "Beaver Run SuperChair",
        "Zendo Chair",
        "A-Chair",
        "Snowflake",
        "C-Chair",
        "E-Chair",
        "6-Chair",
        "Horseshoe Bowl T-Bar",
        "Trygve's Platter",
        "Eldora Platter",
        "Camelback Platter",
        "El Dorado Tow",
        "Castle Carpet 2",
        "Village Carpet B",
        "El Dorado Carpet C",
        "El Dorado Carpet D",
        "Ski and Ride Carpet 1",
        "Ski and Ride Carpet 4",
        "Village Carpet A",
        "Ski and Ride Carpet 2",
        "Ski and Ride Carpet 3",
        "Castle Carpet 1",
    ],
};

static KEYSTONE: Facts = Facts {
    name: "Keystone",
    zone: Zone::Mountain,
    base_usd: 90,
    weekend_tenths: 16,
    lifts: &[
        "River Run Gondola",
        "Outpost Gondola",
        "Bergman Bowl Express",
        "Peru Express",
        "Montezuma Express",
        "Ruby Express",
        "Santiago Express",
        "Summit Express",
        "Outback Express",
        "Wayback",
        "Ranger",
        "Discovery",
        "A51 Lift",
        "Mid-Station Ski School",
        "Kokomo",
        "Double Barrel 2",
        "Sun Kid",
        "Cadillac",
        "Double Barrel 1",
        "Triangle",
        "Tubing Hill",
    ],
};

static HEAVENLY: Facts = Facts {
    name: "Heavenly",
    zone: Zone::Pacific,
    base_usd: 110,
    weekend_tenths: 15,
    lifts: &[
        "Aerial Tram",
        "Heavenly Gondola",
        "Powderbowl Express",
        "Tamarack Express",
        "North Bowl Express",
        "Olympic Express",
        "Canyon Express",
        "Stagecoach Express",
        "Gunbarrel Express",
        "Dipper Express",
        "Comet Express",
        "Sky Express",
        "Big Easy",
        "Galaxy",
        "First Ride",
        "Groove",
        "Boulder",
        "Patsy's",
        "World Cup",
        "Mott Canyon",
        "Mitey-Mite Forest",
        "Pioneer Mitey Mite Tow",
        "DMZ Carpet",
        "Enchanted Carpet",
        "Boulder Carpet",
        "Bear Cave Carpet",
        "Tubing Lift",
    ],
};
