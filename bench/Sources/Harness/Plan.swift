import Foundation

/// links × workloads × contenders × repetitions.
struct Plan: Codable {
    var links: [String]
    var contenders: [String]
    var repetitions: Int
    var workloads: [Workload]
}

struct Workload: Codable {
    var name: String
    var kind: String
    var payload: Int?
    var inFlight: Int?
    var rate: Double?
    var bytes: Int?
    var seconds: Double?
    var seed: UInt64?
    var resumed: Bool?
}

/// One line of `bench/contenders/contenders.json`: a program that keeps the contract in the README beside it.
struct Contender: Codable {
    var name: String
    var command: [String]
    var options: [String]
    var encrypted: String
    var transport: String
}
