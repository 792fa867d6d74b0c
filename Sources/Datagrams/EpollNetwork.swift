#if os(Linux)
    import CDatagrams
    import Foundation
    import MastTimebase

    /// The system's news of interfaces, addresses and routes, on an `EpollLoop`, whose thread alone touches it.
    ///
    /// Where the system does not tell (a container that may not, Android), loops go on without: connections then find out by
    /// their own timers.
    final class EpollNetwork {
        private enum List {
            case links, addresses, complete
            /// Something was missed while a list was coming: once more, then.
            case again
        }

        /// As much as the system puts into one datagram of a list.
        private static let largest = 32 << 10
        /// Datagrams taken in one turn: more than one change has.
        private static let readsInTurn = 64

        private(set) var descriptor: Int32
        private var state = NetworkState()
        private var pause = NetworkPause()
        private var list = List.links
        private var buffer = [UInt8](repeating: 0, count: EpollNetwork.largest)

        /// Nil where the system does not tell.
        init?() {
            descriptor = mast_network_open()
            guard descriptor >= 0, mast_network_ask(descriptor, 0) == 0 else { return nil }
        }

        deinit { mast_close(descriptor) }

        var due: Instant? { pause.due }

        func take(at now: Instant) -> NetworkChange? { pause.take(at: now) }

        /// - Returns: false when the socket is of no more use.
        func read(at now: Instant) -> Bool {
            for _ in 0..<Self.readsInTurn {
                let count = mast_network_receive(descriptor, &buffer, Self.largest)
                if count == 0 { return true }
                if count == -ENOBUFS || count == -EMSGSIZE {
                    // Something was said and not heard: it may have been anything.
                    pause.note(.links, at: now)
                    guard beginList() else { return false }
                    continue
                }
                guard count > 0 else { return false }
                let (change, endsList) = state.apply(Array(buffer[..<Int(count)]))
                pause.note(change, at: now)
                if endsList { continueList() }
            }
            return true
        }

        private func beginList() -> Bool {
            state = NetworkState()
            let code = mast_network_ask(descriptor, 0)
            list = code == -EBUSY ? .again : .links
            return code == 0 || code == -EBUSY
        }

        private func continueList() {
            switch list {
            // Without the list of addresses each known one is news once.
            case .links: list = mast_network_ask(descriptor, 1) == 0 ? .addresses : .complete
            case .again: _ = beginList()
            case .addresses, .complete: list = .complete
            }
        }
    }
#endif
