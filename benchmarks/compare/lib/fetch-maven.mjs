// Peers from Maven's repositories: fetched and compiled at run time, each with a pom.xml of its own that pins it.
import {existsSync, mkdirSync, readdirSync, readFileSync} from "node:fs";
import {join} from "node:path";
import {run} from "./child.mjs";
import {here, target} from "./paths.mjs";

const COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies";
const PEERS = {
    kherud: {source: "Kherud.java", main: "Kherud", java: 17, compile: [], flags: []},
    jlama: {
        source: "Jlama.java", main: "com.github.tjake.jlama.model.Jlama", java: 21, compile: ["--add-modules", "jdk.incubator.vector"],
        flags: ["--enable-preview", "--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED",
            "--add-exports", "java.base/sun.nio.ch=ALL-UNNAMED"]
    }
};

const version = (home) => Number(/^JAVA_VERSION="(\d+)/m.exec(readFileSync(join(home, "release"), "utf8"))?.[1] ?? 0);

/** A JDK that is new enough: PEER_JAVA_HOME, JAVA_HOME, or one of those installed. */
function javaHome(least) {
    const installed = existsSync("/usr/lib/jvm") ? readdirSync("/usr/lib/jvm").map((name) => join("/usr/lib/jvm", name)) : [];
    const home = [process.env.PEER_JAVA_HOME, process.env.JAVA_HOME, ...installed]
        .find((path) => path && existsSync(join(path, "release")) && existsSync(join(path, "bin/javac")) && version(path) >= least);
    if (home === undefined)
        throw new Error(`no JDK ${least} or newer; set PEER_JAVA_HOME`);
    return home;
}

export async function fetchPeer(name) {
    const peer = PEERS[name], directory = join(here, "peers", name), place = join(target, name);
    const home = javaHome(peer.java);
    if (!existsSync(join(place, "lib")))
        await run("mvn", ["-B", "-q", "-ntp", "-f", join(directory, "pom.xml"), COPY, `-DoutputDirectory=${join(place, "lib")}`]);
    mkdirSync(join(place, "classes"), {recursive: true});
    await run(join(home, "bin/javac"), ["-proc:none", ...peer.compile, "-cp", join(place, "lib/*"), "-d", join(place, "classes"),
        join(directory, peer.source)]);
}

/** Command and first arguments of a peer's program. */
export function peerCommand(name) {
    const peer = PEERS[name], place = join(target, name);
    return [join(javaHome(peer.java), "bin/java"), [...peer.flags, "-cp", `${join(place, "classes")}:${join(place, "lib/*")}`, peer.main]];
}
