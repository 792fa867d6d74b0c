import MastTimebase

/// The packets that stand in a link, by number. A number is free again after its packet has left, so the store stays
/// as small as what was ever in the link at one time.
struct PacketStore: ~Copyable {
    private var slots: [UnsafeMutableRawBufferPointer] = []
    private var lengths: [Int] = []
    private var free: [Int] = []
    private let slotBytes: Int
    private(set) var heldBytes = 0

    /// - Parameter slotBytes: the largest packet.
    init(slotBytes: Int) { self.slotBytes = slotBytes }

    deinit { for slot in slots { slot.deallocate() } }

    /// A place for a packet that is about to be read.
    mutating func reserve() -> (number: Int, space: UnsafeMutableRawBufferPointer) {
        if let number = free.popLast() { return (number, slots[number]) }
        slots.append(.allocate(byteCount: slotBytes, alignment: 16))
        lengths.append(0)
        return (slots.count - 1, slots[slots.count - 1])
    }

    mutating func keep(_ number: Int, bytes: Int) {
        lengths[number] = bytes
        heldBytes += bytes
    }

    func packet(_ number: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: slots[number][..<lengths[number]])
    }

    mutating func release(_ number: Int) {
        heldBytes -= lengths[number]
        lengths[number] = 0
        free.append(number)
    }
}
