/// The first of `count` positions for which `isBefore` is false, where it is true for all before that one and for none behind
/// (binary search); `count` when there is none.
func firstIndex(of count: Int, isBefore: (Int) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
        let middle = (low + high) / 2
        if isBefore(middle) { low = middle + 1 } else { high = middle }
    }
    return low
}
