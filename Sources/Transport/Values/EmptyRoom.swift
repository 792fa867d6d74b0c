extension RangeReplaceableCollection {
    /// Memory kept for elements that are gone.
    mutating func giveBackRoom() { if isEmpty { self = Self() } }
}
