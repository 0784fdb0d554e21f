//! Things at places that stay theirs until they are taken out; a free place is used again.
//!
//! Which place a thing gets depends on nothing but the order of what was put in and taken out.

use core::ops::{Index, IndexMut};

/// Where a thing is.
pub(super) type Place = u32;

/// See the module's text.
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<Place>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, thing: T) -> Place {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(thing);
            return place;
        }
        let place = Place::try_from(self.places.len()).expect("fewer than 2^32 things");
        self.places.push(Some(thing));
        place
    }

    /// Takes out what is there.
    ///
    /// # Panics
    /// When nothing is: a bug.
    pub(super) fn remove(&mut self, place: Place) -> T {
        let thing = self.places[place as usize].take();
        self.free.push(place);
        thing.expect("a place that is taken")
    }

    /// In the order of the places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &T)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(place, thing)| Some((place as Place, thing.as_ref()?)))
    }

    /// In the order of the places.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Place, &mut T)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(place, thing)| Some((place as Place, thing.as_mut()?)))
    }
}

impl<T> Index<Place> for Slab<T> {
    type Output = T;

    fn index(&self, place: Place) -> &T {
        let thing = self.places[place as usize].as_ref();
        thing.expect("a place that is taken")
    }
}

impl<T> IndexMut<Place> for Slab<T> {
    fn index_mut(&mut self, place: Place) -> &mut T {
        let thing = self.places[place as usize].as_mut();
        thing.expect("a place that is taken")
    }
}
