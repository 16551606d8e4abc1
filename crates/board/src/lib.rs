//! Boards and overlays as data: schema, inheritance, errors that name file, line and the nearest name.
