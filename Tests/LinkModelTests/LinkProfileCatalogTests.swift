import Foundation
import MastLinkModel
import Testing

@Suite("Link profiles")
struct LinkProfileCatalogTests {
    @Test func eachHasANameOfItsOwnAndASource() {
        let names = LinkProfileCatalog.all.map(\.name)
        #expect(Set(names).count == names.count)
        for entry in LinkProfileCatalog.all {
            #expect(!entry.source.isEmpty && !entry.summary.isEmpty)
            #expect(LinkProfileCatalog.named(entry.name)?.scenario == entry.scenario)
        }
    }

    @Test func eachComesBackFromItsJSON() throws {
        for entry in LinkProfileCatalog.all {
            let bytes = try JSONEncoder().encode(entry.scenario)
            #expect(try JSONDecoder().decode(LinkScenario.self, from: bytes) == entry.scenario)
        }
    }
}
