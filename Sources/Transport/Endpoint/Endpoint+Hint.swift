import MastTimebase
extension Endpoint {
    package mutating func hint(_ address: NetworkAddress, _ hint: PathHint, at now: Instant) {}
}
