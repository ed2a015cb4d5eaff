//! Puts the objects of a payload into the bucket, side by side.

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use crate::{
    aws::{
        CallError, Deadline,
        s3::{Bucket, PutOutcome},
    },
    core::lake::{Object, Summary},
};

/// How many objects of one payload are on their way at once.
const CONCURRENCY: usize = 16;

const CONTENT_TYPE: &str = "application/x-ndjson";

/// What became of one object.
#[derive(Debug)]
pub struct Stored<'s> {
    /// The object's key.
    pub key: String,
    /// What is in the object.
    pub summary: Summary<'s>,
    /// Whether it is in the bucket now.
    pub result: Result<PutOutcome, CallError>,
}

/// Tries to store every object by the deadline. One failure does not stop the others. The results come in the order of
/// the objects.
pub fn store<'b, 's: 'b, 't: 'b>(
    bucket: &'b Bucket,
    objects: impl Iterator<Item = Object<'b, 's, 't>> + Send + 'b,
    deadline: Deadline,
) -> BoxStream<'b, Stored<'s>> {
    // Boxed, because the compiler cannot tell outside of here that the stream is `Send`.
    stream::iter(objects.map(move |object| put(bucket, object, deadline))).buffered(CONCURRENCY).boxed()
}

async fn put<'s>(bucket: &Bucket, object: Object<'_, 's, '_>, deadline: Deadline) -> Stored<'s> {
    // The body of an object is made when its turn comes, and not at all if that is too late.
    let result = if deadline.left().is_zero() {
        Err(CallError::out_of_time("PutObject"))
    } else {
        bucket.create(&object.key, object.body(), CONTENT_TYPE, deadline).await
    };
    Stored { key: object.key, summary: object.summary, result }
}
