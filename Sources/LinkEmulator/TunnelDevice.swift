import CTunnel
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The host's end of a tunnel.
///
/// Its name bears the tunnel's number and is the claim to it: in a network namespace there is one device of a name, and
/// the kernel takes it away with the process that made it, however that ends.
package final class TunnelDevice {
    package let addresses: TunnelAddresses
    private(set) var descriptor: Int32

    /// Needs CAP_NET_ADMIN.
    package init(mtu: Int) throws(TUNShellError) {
        (addresses, descriptor) = try Self.claim()
        let code = addresses.withCStrings(isHost: true, mtu: mtu) { address -> Int32 in
            mast_tun_configure(Self.name(addresses.number), &address, 0) == 0 ? 0 : errno
        }
        guard code == 0 else { throw TUNShellError(step: "cannot configure the TUN device \(Self.name(addresses.number))", code: code) }
    }

    private static func claim() throws(TUNShellError) -> (TunnelAddresses, Int32) {
        for addresses in TunnelAddresses.candidates() {
            var name = [CChar](repeating: 0, count: 32)
            let device = mast_tun_open(Self.name(addresses.number), &name)
            if device >= 0 { return (addresses, device) }
            guard errno == EBUSY else { throw TUNShellError(step: "cannot open a TUN device", code: errno) }
        }
        throw TUNShellError(step: "all \(TunnelAddresses.numbers.count) tunnels are in use", code: EBUSY)
    }

    package func close() {
        guard descriptor >= 0 else { return }
        #if canImport(Glibc)
            Glibc.close(descriptor)
        #elseif canImport(Musl)
            Musl.close(descriptor)
        #else
            Darwin.close(descriptor)
        #endif
        descriptor = -1
    }

    deinit { close() }

    private static func name(_ number: Int) -> String { "mast\(number)" }

    /// Whether the device of that name is the host's end of a tunnel; the inner end is mast0.
    package static func isTunnel(_ name: String) -> Bool { TunnelAddresses.numbers.contains { Self.name($0) == name } }

    /// Whether any tunnel begins in this network namespace.
    package static var isAnyHere: Bool { TunnelAddresses.numbers.contains { if_nametoindex(name($0)) != 0 } }
}
