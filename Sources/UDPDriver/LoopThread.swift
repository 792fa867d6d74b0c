import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Tells the loop's thread from all others: what it wants of itself needs no system call.
final class LoopThread: Sendable {
    private let name = Atomic<UInt>(0)

    /// On the loop's thread, before anybody asks.
    func claim() { name.store(Self.current, ordering: .releasing) }

    var isCurrent: Bool { name.load(ordering: .acquiring) == Self.current }

    private static var current: UInt {
        #if canImport(Darwin)
            UInt(bitPattern: pthread_self())
        #else
            UInt(pthread_self())
        #endif
    }
}
