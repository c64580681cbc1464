// swift-tools-version: 6.2
import PackageDescription

// The instruction set the Swift kernels are compiled for. `-Xcc -m…` steers Swift's own code generation as
// well: without these, `SIMD8<Float>.addingProduct` becomes calls to `fmaf` and `Float16` to `Float` a
// library call per element. x86-64-v3 is checked at start-up; arm64 needs no flags.
#if arch(x86_64)
  let machineFlags = ["-mavx2", "-mfma", "-mf16c"]
#else
  let machineFlags: [String] = []
#endif
let instructionSet: [SwiftSetting] =
  machineFlags.isEmpty ? [] : [.unsafeFlags(machineFlags.flatMap { ["-Xcc", $0] })]

let package = Package(
  name: "hyvideo",
  products: [
    .executable(name: "hyvideo", targets: ["hyvideo"]),
    // CANN's functions on the processor. Loaded by tests and, to plan runs on NPUs, by the program; not part of it.
    .library(name: "AscendEmulator", type: .dynamic, targets: ["AscendEmulator"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
  ],
  targets: [
    // Order matters: a target depends only on targets above it (Tools/check-imports verifies the imports).
    .target(name: "StrictJSON"),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    // Loads the MPI library when it is asked to: nothing links it.
    .target(name: "CMPI"),
    .target(name: "TensorCore"),
    .target(name: "TensorOps", dependencies: ["TensorCore"]),
    .target(name: "CPUBackend", dependencies: ["TensorCore", "TensorOps", "COneDNN"]),
    .target(name: "Collectives", dependencies: ["TensorCore", "CMPI"]),
    // Headers only: CANN's libraries are loaded when a device is asked for.
    .systemLibrary(name: "CAscend"),
    .target(name: "AscendBackend", dependencies: ["TensorCore", "TensorOps", "Collectives", "CAscend"]),
    .target(name: "BackendConformance", dependencies: ["TensorCore", "TensorOps"]),
    .target(name: "Checkpoints", dependencies: ["StrictJSON", "TensorCore", "COpenSSL", "CZlib"]),
    .target(name: "Tokenizers", dependencies: ["StrictJSON"]),
    .target(name: "Layers", dependencies: ["TensorCore", "TensorOps", "Checkpoints"]),
    .target(name: "HunyuanVideo", dependencies: ["TensorCore", "TensorOps", "Checkpoints", "Layers"]),
    .target(
      name: "Generation",
      dependencies: [
        "StrictJSON", "TensorCore", "TensorOps", "Checkpoints", "Tokenizers", "Layers", "HunyuanVideo", "Collectives",
      ]),
    .target(name: "VideoIO", dependencies: ["TensorCore"]),
    .target(name: "Recipes", dependencies: ["StrictJSON", "Generation", .product(name: "Yams", package: "Yams")]),
    .executableTarget(
      name: "hyvideo",
      dependencies: [
        "StrictJSON", "TensorCore", "TensorOps", "CPUBackend", "Collectives", "AscendBackend", "BackendConformance",
        "Checkpoints", "Tokenizers", "Layers", "HunyuanVideo", "Generation", "VideoIO", "Recipes",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .target(
      name: "AscendEmulator",
      cxxSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"] + machineFlags)]),
    .target(
      name: "TensorTesting",
      dependencies: ["StrictJSON", "TensorCore", "BackendConformance", "Checkpoints"]),
    .testTarget(name: "StrictJSONTests", dependencies: ["StrictJSON"]),
    .testTarget(name: "TensorCoreTests", dependencies: ["TensorCore", "BackendConformance", "TensorTesting"]),
    .testTarget(
      name: "TensorOpsTests",
      dependencies: ["TensorCore", "TensorOps", "CPUBackend", "BackendConformance", "TensorTesting"]),
    .testTarget(
      name: "AscendBackendTests",
      dependencies: [
        "TensorCore", "TensorOps", "Collectives", "CAscend", "AscendBackend", "BackendConformance", "Layers",
        "Generation", "TensorTesting",
      ]),
    .testTarget(
      name: "CheckpointsTests",
      dependencies: ["StrictJSON", "TensorCore", "TensorOps", "Checkpoints", "BackendConformance", "TensorTesting"]),
    .testTarget(name: "TokenizersTests", dependencies: ["Tokenizers"]),
    .testTarget(
      name: "HunyuanVideoTests",
      dependencies: [
        "StrictJSON", "TensorCore", "TensorOps", "CPUBackend", "Checkpoints", "Layers", "HunyuanVideo",
        "BackendConformance", "TensorTesting",
      ]),
    .testTarget(
      name: "GenerationTests",
      dependencies: [
        "StrictJSON", "TensorCore", "TensorOps", "CPUBackend", "AscendBackend", "Collectives", "Checkpoints",
        "Tokenizers", "Layers", "HunyuanVideo", "Generation", "BackendConformance", "TensorTesting",
      ]),
    .testTarget(name: "CollectivesTests", dependencies: ["TensorCore", "Collectives", "TensorTesting"]),
    .testTarget(name: "RecipesTests", dependencies: ["Generation", "Recipes"]),
    .testTarget(name: "VideoIOTests", dependencies: ["TensorCore", "VideoIO"]),
    .testTarget(
      name: "CommandLineTests",
      dependencies: ["StrictJSON", "TensorCore", "CPUBackend", "Checkpoints", "TensorTesting"]),
  ],
  swiftLanguageModes: [.v6],
  cxxLanguageStandard: .cxx20
)

for target in package.targets where [.executable, .test, .regular].contains(target.type) {
  target.swiftSettings =
    (target.swiftSettings ?? []) + instructionSet + [
      .enableUpcomingFeature("ExistentialAny"),  // SE-0335
      .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444
      .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409
      .treatAllWarnings(as: .error),
    ]
}
