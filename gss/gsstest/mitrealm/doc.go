// Package mitrealm gives tests a throwaway realm served by the MIT programs
// installed on the machine: kdb5_util, kadmin.local and krb5kdc make and serve
// it, unprivileged, on a loopback port of its own, with all of its files in the
// test's temporary directory. MIT's own clients and sample server run in it
// through [Realm.Command] and [Realm.GSSServer].
//
//	realm := mitrealm.New(t, mitrealm.Config{})
//	realm.Kinit("alice")
//	out, err := realm.Command("kvno", "host/localhost").CombinedOutput()
//
// A realm and everything started in it ends with the test. Where a program is
// missing the test is skipped by [Need] in one fixed phrase, so that whoever
// runs all the tests can name what was left out.
package mitrealm
