//! Properties of the engine alone, under random orders of events.
